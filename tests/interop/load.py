"""Runs `pulsegate-load`, the load generator under tools/load, and reads its result."""
import json
import os
import subprocess
from pathlib import Path

import servers

BINARY = Path(os.environ.get("PULSEGATE_LOAD", servers.ROOT / "target" / "release" / "pulsegate-load"))


def start(mode, ws, **options):
    """Starts a run; the options are those of the program, `server_pid=1` for --server-pid 1."""
    if not BINARY.exists():
        raise SystemExit(f"no {BINARY}: cargo build --release")
    words = [word for name, value in options.items() if value is not None
             for word in (f"--{name.replace('_', '-')}", str(value))]
    return subprocess.Popen([BINARY, mode, "--url", ws, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def result(run):
    """Waits for a run's end and returns its numbers."""
    out, error = run.communicate()
    if run.returncode:
        raise SystemExit(f"{' '.join(map(str, run.args))}: {error.strip()}")
    return json.loads(out)


def measure(mode, ws, **options):
    """One run from beginning to end."""
    return result(start(mode, ws, **options))
