"""What every case has: a fresh server for its module, a client, a topic name of its own, and the admin interface."""
import contextlib
import logging
import sys
import uuid
from pathlib import Path

import pulsar
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import servers  # noqa: E402
from rest import Rest  # noqa: E402

# As a stock installation, but that nothing vanishes meanwhile and that positions inside batches are kept.
STOCK = {"brokerDeleteInactiveTopicsEnabled": "false", "acknowledgmentAtBatchIndexLevelEnabled": "true",
         "defaultRetentionTimeInMinutes": "0", "defaultRetentionSizeInMB": "0"}
# Real Pulsar's own configuration has the first: without it, its bookie refuses entries of the size that its broker accepts. The
# second is how often it looks for ledgers that nobody wants: two minutes else.
REAL = ("nettyMaxFrameSizeBytes=5253120", "retentionCheckIntervalInSeconds=5")
OPERATION_S = 60    # an operation is answered within this, by a busy machine's Java as well
QUIET = logging.getLogger("pulsar-client")
QUIET.setLevel(logging.CRITICAL)


def pytest_addoption(parser):
    parser.addoption("--target", choices=("standalone", "real"), default="standalone")


def settings_of(module):
    """What the module's server is started with; real Pulsar is shared by modules of which this and FRESH are equal."""
    return tuple(f"{key}={value}" for key, value in {**STOCK, **getattr(module, "SETTINGS", {})}.items())


def pytest_collection_modifyitems(config, items):
    """Real Pulsar: modules of the same settings one after the other. Else what waits for whole minutes begins first. Stable sorts."""
    if config.getoption("--target") == "real":
        items.sort(key=lambda item: (settings_of(item.module), getattr(item.module, "FRESH", "")))
    else:
        items.sort(key=lambda item: getattr(item.module, "WAITS_MINUTES", 0), reverse=True)


@pytest.fixture(scope="session")
def real_pulsar():
    """Real Pulsar takes long to start, and a core to idle: one at a time, kept while modules want the same."""
    with contextlib.ExitStack() as stack:
        current = []

        def serve(*wanted):
            if [wanted] != current:
                stack.close()
                current.clear()
                serve.server = stack.enter_context(servers.Broker(None, *wanted[0], *REAL))
                current.append(wanted)
            return serve.server
        yield serve


@pytest.fixture(scope="module")
def server(request):
    """The server under test, with the module's SETTINGS, fresh for each module; `kind` is `standalone` or `real`."""
    kind, settings = request.config.getoption("--target"), settings_of(request.module)
    if kind == "real":
        under_test = request.getfixturevalue("real_pulsar")(settings, getattr(request.module, "FRESH", None))
        under_test.kind = kind
        yield under_test
        return
    with servers.Standalone(None, *settings) as under_test:
        under_test.kind = kind
        # Its default namespace keeps a newcomer's messages for a day; what the cases say of topics is said without that.
        Rest(under_test.admin).change("DELETE", "/admin/v2/namespaces/public/default/retention")
        yield under_test


@pytest.fixture
def is_real(request):
    """Whether real Pulsar is asked: it differs here and there, and the case says how."""
    return request.config.getoption("--target") == "real"


@pytest.fixture
def rest(server):
    """The admin interface."""
    return Rest(server.admin)


@pytest.fixture
def connect(server):
    """Makes clients, each with a connection of its own; all are gone after the case."""
    made = []

    def connect(url=None):
        made.append(pulsar.Client(url or server.binary, operation_timeout_seconds=OPERATION_S, logger=QUIET))
        return made[-1]
    yield connect
    for client in made:
        try:
            client.close()
        except pulsar.PulsarException:
            pass  # the case may have closed or cut it itself


@pytest.fixture
def client(connect):
    """A client."""
    return connect()


@pytest.fixture
def topic(request):
    """A topic name that nobody else has."""
    return f"{request.node.name.split('[')[0].removeprefix('test_')[:20]}-{uuid.uuid4().hex[:8]}".replace("_", "-")
