"""Starts what a test against real Pulsar needs: the broker, Java's WebSocket proxy, pulsegate; all on loopback.

The reference (a recipe that runs a real Pulsar, and the black-box suite) is not part of this repository. It is looked for
in the folder that PULSEGATE_ORACLE names, by default `../shared` beside the repository. Whoever needs it and does not
find it says so with `skip`.
"""
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ORACLE = Path(os.environ.get("PULSEGATE_ORACLE", ROOT.parent / "shared")).resolve()
CONFORMANCE = ORACLE / "conformance"
REAL_PULSAR = ORACLE / "real-pulsar" / "real-pulsar"
ARTEFACTS = Path(os.environ.get("CI_ARTEFACTS", ROOT / "target" / "ci"))
BINARY = Path(os.environ.get("PULSEGATE_BIN", ROOT / "target" / "release" / "pulsegate"))
START_SECONDS_MAX, END_SECONDS_MAX = 30, 20
# A sound broker passes its own health check about two seconds after a restart.
HEALTHY_SECONDS_MAX, HEALTHY_STARTS_MAX, SLOW_START_SECONDS_MAX = 20, 3, 240


LOCKS = []


def skip(what, why):
    """Says for all to see that nothing was proved, and ends with success."""
    line = "!" * 100
    print(f"{line}\n!!!!  SKIPPED: {what}\n!!!!  {why}\n{line}", flush=True)
    sys.exit(0)


def need(what, *kinds):
    """Skips unless the servers that `kinds` name can run here; an unbuilt pulsegate is an error."""
    if set(kinds) & {"pulsegate", "standalone"} and not BINARY.exists():
        raise SystemExit(f"no {BINARY}: cargo build --release")
    if set(kinds) == {"standalone"}:
        return
    if not REAL_PULSAR.exists():
        skip(what, f"no {REAL_PULSAR}: set PULSEGATE_ORACLE to the folder that has real-pulsar/ and conformance/")
    for program in ("java", "mvn", "curl"):
        if not shutil.which(program):
            skip(what, f"{program} is not installed")


def leave(code):
    """Ends the process at once. The official client's threads may still write to a logger of ours, and one that meets an
    interpreter on its way out aborts the process (`terminate called without an active exception`)."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_offset():
    """A port offset whose ports nobody listens on, and which is ours until this process ends: several runs fit on a machine."""
    for offset in random.sample(range(300, 20_000, 100), 50):
        lock = open(Path(tempfile.gettempdir(), f"pulsegate-ports-{offset}.lock"), "w")
        ports = [3181, 6650, 8080, *range(8090, 8093), *range(8100, 8110)]
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        if all(is_free(port + offset) for port in ports):
            LOCKS.append(lock)
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
            self.begin("up", self.offset, *self.settings)
            self.becomes_healthy()  # its first topic takes seconds: not the time of the first test
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
        """Ends the broker with signal `how` (TERM or KILL) and starts it again on its data, until it stores messages."""
        self.begin("restart", self.offset, how)
        for _ in range(HEALTHY_STARTS_MAX):
            if self.becomes_healthy():
                return
            # After a kill Pulsar can come up without its bookie: it answers, refuses every write, and stays so.
            print("  real Pulsar came back and stores nothing: its fault, started once more", flush=True)
            self.begin("restart", self.offset, "TERM")
        raise SystemExit(f"real Pulsar stores nothing after {HEALTHY_STARTS_MAX} starts, log: {self.run_dir}/broker.log")

    def begin(self, *arguments):
        """Has the recipe start the broker; it gives up after a minute, which a busy machine's Java may exceed."""
        try:
            self.recipe(*arguments, heap="1g")
        except subprocess.CalledProcessError:
            if not Path(f"/proc/{self.pid}").exists() or not self.becomes_healthy(SLOW_START_SECONDS_MAX):
                raise

    def becomes_healthy(self, seconds=HEALTHY_SECONDS_MAX):
        """Whether the broker, by its own check (a message there and back), stores messages before long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.admin}/admin/v2/brokers/health?topicVersion=V2", timeout=10) as answer:
                    if answer.read() == b"ok":
                        return True
            except OSError:
                pass
            time.sleep(0.25)
        return False

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


class Served:
    """A pulsegate process: how it starts, is found to serve, and ends."""

    def start(self, arguments, log, port):
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen([BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            wait_for(lambda: self.process.poll() is not None or not is_free(port), f"port {port} is not served, log: {log}")
        except BaseException:
            self.process.kill()
            raise
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"pulsegate ended at once with {self.process.returncode}:\n{tail}")

    @property
    def pid(self):
        return self.process.pid

    def end(self, signal_=signal.SIGTERM):
        """Ends the process; one that had ended by itself, or does not end, is an error."""
        died = self.process.poll()
        self.process.send_signal(signal_)
        try:
            self.process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit(f"pulsegate did not end within {END_SECONDS_MAX} s of signal {signal_}")
        if died is not None:
            raise SystemExit(f"pulsegate ended by itself with {died}, log: {self.log}")

    def __exit__(self, *_):
        self.end()


class Gateway(Served):
    """`pulsegate serve` before one broker. Ends with the `with` block, by SIGTERM, and must end in time."""

    def __init__(self, broker, *settings, port=8100, name="pulsegate"):
        self.port, self.name = port + broker.offset, name
        self.ws, self.rest = f"ws://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.port}"
        self.settings = [f"brokerServiceUrl={broker.binary}", f"serviceUrl={broker.admin}", "clusterName=standalone",
                         f"webServicePort={self.port}", "bindAddress=127.0.0.1", *settings]

    def __enter__(self):
        log = ARTEFACTS / f"{self.name}.log"
        log.unlink(missing_ok=True)
        self.start(["serve", *setting_words(self.settings)], log, self.port)
        return self


class Standalone(Served):
    """`pulsegate standalone` on a folder of its own, which goes with the `with` block; a `Broker` to its users."""

    def __init__(self, offset=None, *settings, folder=None):
        self.offset = free_offset() if offset is None else offset
        web, native = 8080 + self.offset, 6650 + self.offset
        self.admin, self.ws = f"http://127.0.0.1:{web}", f"ws://127.0.0.1:{web}"
        self.binary, self.web = f"pulsar://127.0.0.1:{native}", web
        self.settings = [f"webServicePort={web}", f"brokerServicePort={native}", *settings]
        self.folder, self.given = folder, folder is not None

    def __enter__(self):
        if not self.given:
            # Under target/, not /tmp: that may be memory, where a sync costs nothing.
            (ROOT / "target" / "data").mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(dir=ROOT / "target" / "data"))
        self.again()
        return self

    def again(self):
        """Starts the process on its folder."""
        begin, words = time.monotonic(), ["standalone", "--data-dir", self.folder, *setting_words(self.settings)]
        self.start(words, ARTEFACTS / f"standalone-{self.offset}.log", self.web)
        wait_for(lambda: self.process.poll() is not None or is_ready(self.admin),
                 f"{self.admin} is not ready, log: {self.log}")
        self.ready_s = time.monotonic() - begin

    def restart(self, how):
        """Ends the process with signal `how` (TERM or KILL) and starts it again on its folder."""
        self.end(signal.Signals[f"SIG{how}"])
        self.again()

    def __exit__(self, *_):
        try:
            self.end()
        finally:
            if not self.given:
                shutil.rmtree(self.folder, ignore_errors=True)


def setting_words(settings):
    return [word for setting in settings for word in ("--set", setting)]


def is_ready(admin):
    """Whether a broker says so of itself."""
    try:
        with urllib.request.urlopen(f"{admin}/admin/v2/brokers/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


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
