"""Runs asynchronous tests and starts the servers that tests share."""

import asyncio
import gc
import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

import hypothesis
import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.jobs import QueueOptions
from support.postgres import NoPostgres, PostgresServer
from support.processes import Process, base_command, clean_environment
from support.rabbitmq import (
    ON_OWN_RABBITMQ,
    GivenRabbitMQ,
    NoRabbitMQ,
    OwnRabbitMQ,
    SharedHost,
    find_own_rabbitmq,
    virtual_host,
)
from support.rabbitmq_api import Broker
from support.s3_server import ON_ONE_S3, Bucket, S3Server
from support.shared_node import SharedNode, borrow
from support.valkey import GivenValkey, OwnValkey, empty
from support.valkey_cluster import ON_ONE_CLUSTER, ValkeyCluster
from support.workbench import Workbench, workbench

pytest_plugins = ["mousetrap.testing.plugin"]

_SERVERS = {
    "postgres",
    "database_url",
    "rabbitmq",
    "own_rabbitmq",
    "valkey",
    "own_valkey",
    "store_url",
    "valkey_cluster",
    "queue_url",
    "s3_server",
}
#: Fixtures that start programs of ours: half a second of processor time each.
_PROGRAMS = {"start_base", "start_api"}
#: Of an asynchronous test; less than pytest's own bound, so that the test's name and line are in the report. Much more than a
#: wait has, which names what did not come: on a busy machine a broker alone takes a minute to start.
TEST_TIMEOUT_S = 200.0
#: Characters of a parameter that are its test's name.
_LONGEST_ID = 200
#: How long those who ask a server wait for its reply. The API must answer within two seconds; a busy machine's servers stand
#: still for as long.
_BOUNDS = (
    "store_client.opening._CONNECT_TIMEOUT_S",
    "store_client.opening._REPLY_TIMEOUT_S",
    "stream_queue.stream_queue._REPLY_TIMEOUT_S",
    "stream_queue.pull._REPLY_TIMEOUT_S",
    "job_queue.rabbitmq._REPLY_TIMEOUT_S",
    "job_queue.pull._REPLY_TIMEOUT_S",
    "job_queue.channel_publisher._COUNT_TIMEOUT_S",
    "job_queue.channel_publisher._DECLARE_TIMEOUT_S",
    "dead_letters.held._NEXT_TIMEOUT_S",
    "dead_letters.held._FIRST_TIMEOUT_S",
    "dead_letters.held._RETURN_TIMEOUT_S",
    "serve_worker.heartbeat._REPLY_TIMEOUT_S",
    "api.services._CONFIRM_TIMEOUT_S",
    "api.start._TIMEOUT_S",
    "api.about._TIMEOUT_S",
    "api.health._TIMEOUT_S",
    "api.metrics._LOOK_TIMEOUT_S",
    "api.metrics._CHECK_TIMEOUT_S",
    "api.put_aside._LOOK_TIMEOUT_S",
    "api.waiting._LOOK_TIMEOUT_S",
    "api.records._LOOK_TIMEOUT_S",
    "client.room._MEASURE_TIMEOUT_S",
    "dashboard.facts._TIMEOUT_S",
)
# How long an example takes depends on what else the machine does: no bound on making one, none on trying it.
_SLOW_MACHINE = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("tests", deadline=None, suppress_health_check=_SLOW_MACHINE)
# What a developer runs at each save tries a fifth of them, other ones each time; all are tried by `make test`.
hypothesis.settings.register_profile(
    "fast", deadline=None, suppress_health_check=_SLOW_MACHINE, max_examples=20
)
hypothesis.settings.load_profile("tests")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "servers: asks for a broker or a store; set by itself. `make test-fast` leaves these out"
    )
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # CI's way to say Ctrl-C: the servers are to end then too
    config.addinivalue_line(
        "markers",
        "slow: builds, installs or starts programs; set by itself where a fixture starts them. `make test-fast` leaves these out",
    )
    config.addinivalue_line(
        "markers", "long: takes half a minute or more; `make test` leaves these out, CI does not"
    )
    config.addinivalue_line(
        "markers",
        "own_queues: its queues have names that no other test uses, so that it may share a virtual host with others",
    )
    config.addinivalue_line("markers", "stages(**fields): what the stages of the test's bench have in common")


def pytest_configure_node(node: Any) -> None:
    """Passes the address of the shared node to each process of a parallel run (pytest-xdist)."""
    config = node.config
    if not hasattr(config, "shared_node"):
        config.shared_node = SharedNode(lambda: find_own_rabbitmq(Path(mkdtemp(prefix="mousetrap-shared-"))))
        config.add_cleanup(config.shared_node.remove)
    node.workerinput["shared_node"] = config.shared_node.address


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """An id for a long text: pytest would take all of it, and send 64 MiB from process to process with each report."""
    if isinstance(val, str | bytes) and len(val) > _LONGEST_ID:
        return f"{argname} of {len(val)}"
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """All that is made while tests are collected stays: to look through it took a seventh of that time, and more later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(
        config, "workerinput"
    ):  # where several processes share the tests, none is to begin a long one last
        items.sort(key=lambda item: item.get_closest_marker("long") is None)
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        if asked & _SERVERS:
            item.add_marker("servers")
        if asked & _PROGRAMS:
            item.add_marker("slow")
        if "world" in asked and item.get_closest_marker("test_timeout") is None:
            # Not the 30 s that users have by default.
            item.add_marker(pytest.mark.test_timeout(TEST_TIMEOUT_S))
        if "own_rabbitmq" in asked:
            item.add_marker(ON_OWN_RABBITMQ)
        if "valkey_cluster" in asked:
            item.add_marker(ON_ONE_CLUSTER)
        if "s3_server" in asked:
            item.add_marker(ON_ONE_S3)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs an `async def` test in a loop of its own; a fixture's asynchronous context is opened in that loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    marker = pyfuncitem.get_closest_marker("test_timeout")
    seconds = marker.args[0] if marker else TEST_TIMEOUT_S
    fixtures = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def run() -> None:
        async with AsyncExitStack() as opened, asyncio.timeout(seconds):
            for name, value in fixtures.items():
                if isinstance(value, AbstractAsyncContextManager):
                    fixtures[name] = await opened.enter_async_context(value)
            await pyfuncitem.obj(**fixtures)

    asyncio.run(run())
    return True


@pytest.fixture
def patient_clients() -> Iterator[None]:
    """In the test's own process a server that stands still costs its time, and no more: no error, and no second attempt.

    Without the test's `monkeypatch`, whose `undo` would end that as well. A module whose tests are about servers that do not answer
    has a fixture of this name that changes nothing.
    """
    with pytest.MonkeyPatch.context() as patched:
        for bound in _BOUNDS:
            module, _, name = f"mousetrap.{bound}".rpartition(".")
            if module in sys.modules:  # tests import what they use before the first one runs
                patched.setattr(sys.modules[module], name, 30.0)
        patched.setitem(QueueOptions.__init__.__kwdefaults__ or {}, "confirm_deadline", 30.0)
        yield


@pytest.fixture(autouse=True)
def _patient(patient_clients: None) -> None:
    """For all tests."""


@pytest.fixture(scope="session")
def rabbitmq(request: pytest.FixtureRequest) -> Broker:
    """The broker that tests share: the one that MOUSETRAP_TEST_BROKER_URL names, the run's own, or this process's own."""
    url = os.environ.get("MOUSETRAP_TEST_BROKER_URL")
    run: dict[str, str] = getattr(request.config, "workerinput", {})  # filled in one process of several
    if url is None and not run:
        own: OwnRabbitMQ = request.getfixturevalue("_own_rabbitmq")
        return own
    try:
        return borrow(run["shared_node"]) if url is None else GivenRabbitMQ(url)
    except NoRabbitMQ as error:
        pytest.exit(str(error), returncode=2)


@pytest.fixture
def broker_url(request: pytest.FixtureRequest, rabbitmq: Broker) -> Iterator[str]:
    """The address of an empty virtual host for this test alone, or of one for tests with `own_queues`."""
    if request.node.get_closest_marker("own_queues"):
        shared: SharedHost = request.getfixturevalue("_shared_host")
        yield shared.lend()
        return
    with virtual_host(rabbitmq) as url:
        yield url


@pytest.fixture(scope="session")
def _shared_host(rabbitmq: Broker) -> Iterator[SharedHost]:
    host = SharedHost(rabbitmq)
    yield host
    host.close()


@pytest.fixture
def own_rabbitmq(_own_rabbitmq: OwnRabbitMQ) -> Iterator[OwnRabbitMQ]:
    """A broker to restart and to kill; it runs again afterwards."""
    yield _own_rabbitmq
    _own_rabbitmq.start()


@pytest.fixture(scope="session")
def _own_rabbitmq(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnRabbitMQ]:
    capture = request.config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():  # an installation is to be announced while it goes on
            broker = find_own_rabbitmq(tmp_path_factory.mktemp("rabbitmq"))
    except NoRabbitMQ as error:
        pytest.exit(str(error), returncode=2)
    yield broker
    broker.remove()


@pytest.fixture(scope="session")
def valkey(request: pytest.FixtureRequest) -> GivenValkey | EmbeddedValkey:
    """The store that tests share: the one that MOUSETRAP_TEST_STORE_URL names, else an embedded one."""
    url = os.environ.get("MOUSETRAP_TEST_STORE_URL")
    if url is None:
        own: EmbeddedValkey = request.getfixturevalue("_own_valkey")
        return own
    return GivenValkey(url)


@pytest.fixture
def store_url(valkey: GivenValkey | EmbeddedValkey) -> str:
    """The address of the store, emptied for this test."""
    empty(valkey.url)
    return valkey.url


@pytest.fixture(params=["streams", "rabbitmq"])
def queue_url(request: pytest.FixtureRequest) -> str:
    """The address of either queue in turn, with nothing on it."""
    url: str = request.getfixturevalue({"streams": "store_url", "rabbitmq": "broker_url"}[request.param])
    return url


@pytest.fixture
def work() -> str:
    """The name of a queue that no other test uses."""
    return f"work_{uuid4().hex[:12]}"


@pytest.fixture
def bench(
    request: pytest.FixtureRequest, queue_url: str, store_url: str
) -> AbstractAsyncContextManager[Workbench]:
    """A pipeline on either queue in turn; an `async def` test gets it opened, as a Workbench."""
    stages = request.node.get_closest_marker("stages")
    return workbench(queue_url, store_url, **stages.kwargs if stages else {})


@pytest.fixture
def own_valkey(_own_valkey: EmbeddedValkey) -> Iterator[EmbeddedValkey]:
    """An empty store to restart and to kill; it runs again afterwards."""
    empty(_own_valkey.url)
    yield _own_valkey
    if _own_valkey.pid is None:
        _own_valkey.start()


@pytest.fixture(scope="session")
def _own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with OwnValkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey_cluster(_valkey_cluster: ValkeyCluster) -> Iterator[ValkeyCluster]:
    """An empty cluster whose primaries a test may kill; it is whole again afterwards."""
    _valkey_cluster.empty()
    yield _valkey_cluster
    _valkey_cluster.make_whole()


@pytest.fixture(scope="session")
def _valkey_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(tmp_path_factory.mktemp("valkey_cluster"))
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The database server that this process's tests share."""
    try:
        server = PostgresServer()
    except NoPostgres as error:
        pytest.exit(str(error), returncode=2)
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database of either kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/app.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test_{uuid4().hex[:12]}"
    yield server.make_database(name)
    server.drop_database(name)


@pytest.fixture(scope="session")
def s3_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3-compatible server that this process alone uses."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():  # an installation is to be announced while it goes on
        server = S3Server(tmp_path_factory.mktemp("s3"))
    yield server
    server.remove()


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket; the environment has what a client needs to find it."""
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    s3_server.start()
    name = f"bucket-{uuid4().hex[:12]}"
    return Bucket(s3_server, f"s3://{name}/a/prefix", s3_server.bucket(name))


@pytest.fixture
def start_base(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a base as a program of its own: `start_base("api", MOUSETRAP_PORT="8000")`; it ends with the test."""
    started: list[Process] = []

    def start(base: str, *arguments: str, **settings: str) -> Process:
        started.append(Process(base_command(base, *arguments), clean_environment(**settings), tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def mark(tmp_path: Path) -> str:
    """A setting that marks all processes of a test; `living` finds them by it."""
    return str(tmp_path)


@pytest.fixture
def living(mark: str) -> Callable[[], dict[int, str]]:
    """The processes that carry the mark, however they were started."""

    def find() -> dict[int, str]:
        listed = subprocess.run(
            ["ps", "axeww", "-o", "pid=,args="], capture_output=True, text=True, check=True
        )
        marked = (line for line in listed.stdout.splitlines() if f"MARK_OF_TEST={mark}" in line)
        return {int(line.split()[0]): line for line in marked}

    return find


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, None]:
    """Makes what a test logged fit for the way to the main process: half a surrogate pair there ends the whole run."""
    result = yield
    report = result.get_result()
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
