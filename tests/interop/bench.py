"""Stands for figures: a broker that costs nothing, a server under test on one core, the load on the others; and how much the
machine was disturbed meanwhile.

Binaries: target/release, or the folder that PULSEGATE_TARGET names.
"""
import json
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("PULSEGATE_TARGET", ROOT / "target" / "release"))
ARTEFACTS = Path(os.environ.get("CI_ARTEFACTS", ROOT / "target" / "ci")) / "figures"
START_SECONDS_MAX = 10
CORES = sorted(os.sched_getaffinity(0))
# The server's core, and the one for broker and load.
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]

# A run is disturbed when the server waited for its core longer than this share of it, when foreign work took more than this
# of one core, or when the hypervisor took more than this of one: what is measured then is the neighbour.
WAITING_MAX, FOREIGN_MAX, STEAL_MAX = 0.05, 0.25, 0.03


def program(name):
    path = TARGET / name
    if not path.exists():
        raise SystemExit(f"no {path}: cargo build --release, or set PULSEGATE_TARGET")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_served(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A program that listens on a port. Ends with the `with` block."""

    def __init__(self, name, port, *command):
        self.name, self.port, self.command = name, port, [str(word) for word in command]
        self.ws = f"ws://127.0.0.1:{port}"

    def __enter__(self):
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with open(ARTEFACTS / f"{self.name}.log", "wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not is_served(self.port):
            if self.process.poll() is not None or time.monotonic() > began + START_SECONDS_MAX:
                self.process.kill()
                text = (ARTEFACTS / f"{self.name}.log").read_text(errors="replace")
                raise SystemExit(f"{self.name} does not serve port {self.port}:\n{text[-2000:]}")
            time.sleep(0.005)
        self.pid = self.process.pid
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def null_broker(*options, core=LOAD_CORE, port=None):
    port = port or free_port()
    return Server("null-broker", port, program("pulsegate-null-broker"), "--listen", f"127.0.0.1:{port}", *on(core), *options)


def floor(broker, core=SERVER_CORE):
    port = free_port()
    return Server("floor", port, program("pulsegate-floor"), "--listen", f"127.0.0.1:{port}",
                  "--broker", f"127.0.0.1:{broker.port}", *on(core))


def on(core):
    """Words that pin a program to a core; None: it may run anywhere."""
    return [] if core is None else ["--core", core]


def gateway(broker, cores=SERVER_CORE, binary=None, name="gateway"):
    port = free_port()
    settings = {"brokerServiceUrl": f"pulsar://127.0.0.1:{broker.port}", "webServicePort": port,
                "bindAddress": "127.0.0.1", "clusterName": "null"}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return Server(name, port, binary or program("pulsegate"), "serve", *words, "--cores", cores, "--pin")


def standalone(folder, cores, binary=None):
    port, native = free_port(), free_port()
    settings = {"webServicePort": port, "brokerServicePort": native, "bindAddress": "127.0.0.1"}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    server = Server("standalone", port, binary or program("pulsegate"), "standalone", "--data-dir", folder, *words,
                    "--cores", cores, "--pin")
    server.native = f"pulsar://127.0.0.1:{native}"
    return server


def load(mode, url, binary=None, core=LOAD_CORE, **options):
    """One run of pulsegate-load; the options are those of the program. Returns its summary, with `disturbed`: None or why."""
    words = []
    for name, value in options.items():
        if value is True:
            words.append(f"--{name.replace('_', '-')}")
        elif value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    command = [str(binary or program("pulsegate-load")), mode, "--url", url, *words]
    if core is not None:
        command += ["--cores", str(core)]
    before = Machine()
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)}: {run.stderr.strip()}")
    summary = json.loads(run.stdout)
    summary["disturbed"] = before.disturbed(summary)
    return summary


class Machine:
    """Processor time of the whole machine, and of our own processes, at one moment."""

    def __init__(self):
        self.time = time.monotonic()
        fields = [int(word) for word in open("/proc/stat").readline().split()[1:9]]
        tick = os.sysconf("SC_CLK_TCK")
        user, nice, system, _, _, _, _, steal = fields
        self.busy, self.stolen = (user + nice + system) / tick, steal / tick
        self.own = sum(cpu_seconds(pid) for pid in children()) + sum(os.times()[:4])

    def disturbed(self, summary):
        """Why a run since this moment proves nothing, or None."""
        now = Machine()
        span = now.time - self.time
        foreign = (now.busy - self.busy - (now.own - self.own)) / span
        stolen = (now.stolen - self.stolen) / span
        waiting = (summary["server"] or {"waiting_cores": 0})["waiting_cores"]
        if waiting is None:
            return "nothing was measured"
        reasons = [f"{name} {value:.0%}" for name, value, most in (
            ("server waited", waiting, WAITING_MAX), ("foreign work", foreign, FOREIGN_MAX), ("stolen", stolen, STEAL_MAX),
        ) if value > most]
        return ", ".join(reasons) or None


def children():
    """Our living child processes."""
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def cpu_seconds(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def raise_descriptors(wanted):
    """Lets us and the servers we start open so many files, where we may; returns how many it is now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in ((wanted, max(hard, wanted)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            break
        except (OSError, ValueError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def facts():
    """One line: on what figures were measured."""
    commit = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    return (f"{time.strftime('%Y-%m-%d')}, commit {commit.stdout.strip() or 'unknown'}, {model}, {os.cpu_count()} cores, "
            f"Linux {platform.release()}, {TARGET.name} build, loopback")


def scratch():
    """A folder for data, on the disk of the repository; removed with the `with` block."""
    folder = ROOT / "target" / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=folder)


def has(name):
    return shutil.which(name) is not None


class Stage(ExitStack):
    """An `ExitStack` that unwinds on SIGTERM as well: no server outlives its figures."""

    def __enter__(self):
        def stop(*_):
            raise SystemExit("terminated")
        signal.signal(signal.SIGTERM, stop)
        return super().__enter__()
