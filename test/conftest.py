"""The servers and programs that tests ask for by name; each is started once, when the first test asks, and always ended."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from support.processes import Process, base_command, clean_environment
from support.rabbitmq import GivenRabbitMQ, NoRabbitMQ, OwnRabbitMQ, find_own_rabbitmq, virtual_host
from support.rabbitmq_api import Broker
from support.valkey import GivenValkey, OwnValkey, empty

_SERVERS = {"rabbitmq", "own_rabbitmq", "valkey", "own_valkey"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "servers: asks for a broker or a store; set by itself. `make test-fast` leaves these out"
    )
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # CI's way to say Ctrl-C: the servers are to end then too
    config.addinivalue_line("markers", "slow: builds or installs; `make test-fast` leaves these out")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("servers")


@pytest.fixture(scope="session")
def rabbitmq(request: pytest.FixtureRequest) -> Broker:
    """The broker that tests share: the one that MOUSETRAP_TEST_BROKER_URL names, else our own."""
    url = os.environ.get("MOUSETRAP_TEST_BROKER_URL")
    if url is None:
        own: OwnRabbitMQ = request.getfixturevalue("_own_rabbitmq")
        return own
    try:
        return GivenRabbitMQ(url)
    except NoRabbitMQ as error:
        pytest.exit(str(error), returncode=2)


@pytest.fixture
def broker_url(rabbitmq: Broker) -> Iterator[str]:
    """The address of an empty virtual host for this test alone."""
    with virtual_host(rabbitmq) as url:
        yield url


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
def start_base(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts a base as a program of its own: `start_base("api", MOUSETRAP_PORT="8000")`; it ends with the test."""
    started: list[Process] = []

    def start(base: str, *arguments: str, **settings: str) -> Process:
        started.append(Process(base_command(base, *arguments), clean_environment(**settings), tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.kill()
