"""Starts a deployment of real processes for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from support.feed import Feed, served, the_week
from support.processes import Process
from support.rabbitmq import OwnRabbitMQ, virtual_host
from support.stack import Deploy, Stack


@pytest.fixture
def feed() -> Iterator[Feed]:
    with served(the_week()) as feed:
        yield feed


@pytest.fixture
def deploy(start_base: Callable[..., Process], tmp_path: Path, feed: Feed) -> Iterator[Deploy]:
    """Starts the API of a deployment; the deployment ends with the test."""
    with ExitStack() as opened:

        def start(broker_url: str, store_url: str) -> Stack:
            stack = Stack(start_base, tmp_path, feed, broker_url=broker_url, store_url=store_url)
            return opened.enter_context(closing(stack))

        yield start


@pytest.fixture
def own_rabbitmq_url(own_rabbitmq: OwnRabbitMQ) -> Iterator[str]:
    """The address of an empty virtual host on a broker that the test may restart and kill."""
    with virtual_host(own_rabbitmq) as url:
        yield url
        own_rabbitmq.start()


@pytest.fixture(params=["streams", "rabbitmq"])
def queue_url(request: pytest.FixtureRequest, own_valkey: EmbeddedValkey) -> str:
    """The address of either queue."""
    if request.param == "streams":
        return own_valkey.url
    url: str = request.getfixturevalue("broker_url")
    return url


@pytest.fixture
def stack(deploy: Deploy, queue_url: str, own_valkey: EmbeddedValkey) -> Stack:
    """A deployment on either queue, on a store that the test may restart and kill; its workers are the test's to start."""
    return deploy(queue_url, own_valkey.url)


@pytest.fixture
def stack_on_own_rabbitmq(deploy: Deploy, own_rabbitmq_url: str, own_valkey: EmbeddedValkey) -> Stack:
    """The same, on a broker that the test may restart and kill."""
    return deploy(own_rabbitmq_url, own_valkey.url)
