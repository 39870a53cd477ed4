"""Starts what a test against real Pulsar needs: the broker, Java's WebSocket proxy, pulsegate; all on loopback.

The reference (a recipe that runs a real Pulsar, and the black-box suite) is not part of this repository. It is looked for
in the folder that PULSEGATE_ORACLE names, by default `../shared` beside the repository. Whoever needs it and does not
find it says so with `skip`.
"""
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ORACLE = Path(os.environ.get("PULSEGATE_ORACLE", ROOT.parent / "shared")).resolve()
CONFORMANCE = ORACLE / "conformance"
REAL_PULSAR = ORACLE / "real-pulsar" / "real-pulsar"
ARTEFACTS = Path(os.environ.get("CI_ARTEFACTS", ROOT / "target" / "ci"))
BINARY = Path(os.environ.get("PULSEGATE_BIN", ROOT / "target" / "release" / "pulsegate"))
START_SECONDS_MAX = 30


def skip(what, why):
    """Says for all to see that nothing was proved, and ends with success."""
    line = "!" * 100
    print(f"{line}\n!!!!  SKIPPED: {what}\n!!!!  {why}\n{line}", flush=True)
    sys.exit(0)


def need(what, *kinds):
    """Skips unless real Pulsar can run here; an unbuilt pulsegate is an error."""
    if not REAL_PULSAR.exists():
        skip(what, f"no {REAL_PULSAR}: set PULSEGATE_ORACLE to the folder that has real-pulsar/ and conformance/")
    for program in ("java", "mvn", "curl"):
        if not shutil.which(program):
            skip(what, f"{program} is not installed")
    if "pulsegate" in kinds and not BINARY.exists():
        raise SystemExit(f"no {BINARY}: cargo build --release")


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_offset():
    """A port offset whose ports nobody listens on, so that several runs fit on one machine."""
    for offset in random.sample(range(300, 20_000, 100), 50):
        ports = [3181, 6650, 8080, *range(8090, 8093), *range(8100, 8110)]
        if all(is_free(port + offset) for port in ports):
            return offset
    raise SystemExit("no free port offset found in 50 tries")


def wait_for(check, what, seconds=START_SECONDS_MAX):
    """Polls until `check` is true; the limit is an error."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Broker:
    """A real Pulsar broker (and Java proxies beside it) at one port offset. Ends with the `with` block."""

    def __init__(self, offset=None, *settings):
        self.offset = free_offset() if offset is None else offset
        self.settings, self.proxies = settings, 0
        self.admin = f"http://127.0.0.1:{8080 + self.offset}"
        self.binary = f"pulsar://127.0.0.1:{6650 + self.offset}"
        cache = os.environ.get("REAL_PULSAR_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"),
                                                            "real-pulsar")
        self.run_dir = Path(cache) / f"run-{self.offset}"

    def __enter__(self):
        try:
            self.recipe("up", self.offset, *self.settings, heap="1g")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for log in self.run_dir.parent.glob(f"run-{self.offset}/*.log"):
            shutil.copy(log, ARTEFACTS / f"{log.stem}-java.log")
        for number in reversed(range(self.proxies)):
            self.recipe("down", self.offset + number)
        if not self.proxies:
            self.recipe("down", self.offset)

    @property
    def pid(self):
        return int((self.run_dir / "broker.pid").read_text())

    def restart(self, how):
        """Ends the broker with signal `how` (TERM or KILL) and starts it again on its data."""
        self.recipe("restart", self.offset, how, heap="1g")

    def proxy(self, *settings):
        """Starts one more of Java's stand-alone proxies; returns its WebSocket address and process id."""
        offset = self.offset + self.proxies
        self.proxies += 1
        near = [f"serviceUrl={self.admin}", f"brokerServiceUrl={self.binary}"]
        self.recipe("proxy", offset, *near, *settings, heap="512m")
        pid = int((self.run_dir.with_name(f"run-{offset}") / "proxy.pid").read_text())
        return f"ws://127.0.0.1:{8090 + offset}", pid

    @staticmethod
    def recipe(*arguments, heap="256m"):
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        with open(ARTEFACTS / "real-pulsar.log", "ab") as log:
            # Its own session: an interrupt of the test must not take the broker away before its clients.
            subprocess.run([REAL_PULSAR, *map(str, arguments)], check=True, stdin=subprocess.DEVNULL, stdout=log,
                           stderr=log, start_new_session=True, env={"REAL_PULSAR_HEAP": heap, **os.environ})


class Gateway:
    """`pulsegate serve` before one broker. Ends with the `with` block, by SIGTERM, and must end in time."""

    def __init__(self, broker, *settings, port=8100, name="pulsegate"):
        self.port = port + broker.offset
        self.ws, self.rest = f"ws://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.port}"
        self.settings = [f"brokerServiceUrl={broker.binary}", f"serviceUrl={broker.admin}", "clusterName=standalone",
                         f"webServicePort={self.port}", "bindAddress=127.0.0.1", *settings]
        self.log = ARTEFACTS / f"{name}.log"

    def __enter__(self):
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        arguments = [word for setting in self.settings for word in ("--set", setting)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([BINARY, "serve", *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_for(lambda: self.process.poll() is not None or not is_free(self.port), f"{self.ws} is not served")
        except BaseException:
            self.process.kill()
            raise
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"pulsegate ended at once with {self.process.returncode}:\n{tail}")
        self.pid = self.process.pid
        return self

    def __exit__(self, *_):
        died = self.process.poll()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit("pulsegate did not end within 20 s of SIGTERM")
        if died is not None:
            raise SystemExit(f"pulsegate ended by itself with {died}, log: {self.log}")


def target(broker, kind, stack, *settings, port=8100):
    """The WebSocket address and process id of a server under test, `pulsegate` or `java`, until `stack` ends."""
    if kind == "java":
        return broker.proxy(*settings)
    gateway = stack.enter_context(Gateway(broker, *settings, port=port, name=f"pulsegate-{port}"))
    return gateway.ws, gateway.pid


class Stage(ExitStack):
    """An `ExitStack` that unwinds on SIGTERM as well, and undisturbed: no server outlives its test."""

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
        return super().__enter__()

    def __exit__(self, *details):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        return super().__exit__(*details)
