"""Finds or starts the RabbitMQ that tests run against."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest
from docker.errors import DockerException

from mousetrap.job_queue import QueueOptions, open_channel
from support.rabbitmq_api import Broker, ask
from support.rabbitmq_container import RabbitMQContainer, engine_answers
from support.rabbitmq_node import RabbitMQNode, install_rabbitmq, programs

#: Tests that stop a broker run one after the other in one process, which has a node for them.
ON_OWN_RABBITMQ = pytest.mark.xdist_group("own_rabbitmq")
HOW = """There is no RabbitMQ to test against. Any one of these three helps:
  - MOUSETRAP_TEST_BROKER_URL=amqp://user:password@host:5672 names a broker, with its management plugin;
  - a container engine runs (`docker info` answers) and has, or can pull, the image rabbitmq:4-management;
  - the program rabbitmq-server is on this machine (Debian and Ubuntu: `apt-get install rabbitmq-server`)."""


class NoRabbitMQ(Exception):
    """There is no broker, and none could be started; the text names what would help."""


class OwnRabbitMQ(Broker, Protocol):
    """A broker that tests may stop, for nothing else uses it."""

    @property
    def running(self) -> bool: ...

    @property
    def pid(self) -> int | None:
        """The node's process where it is one of this machine's own; None in a container."""
        ...

    def start(self) -> None:
        """Returns once it takes connections, on the same port and with the same data as before."""
        ...

    def restart(self) -> None:
        """Stops it in good order and starts it."""
        ...

    def kill(self) -> None:
        """Ends it at once (SIGKILL)."""
        ...

    def rabbitmqctl(self, *arguments: str) -> str:
        """What the command printed. Takes a second: it starts an Erlang of its own."""
        ...

    def remove(self) -> None:
        """Ends it and forgets its data."""
        ...


class GivenRabbitMQ:
    """A broker that others run."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.api = os.environ.get("MOUSETRAP_TEST_BROKER_API", f"http://{parts.hostname}:15672")
        try:
            ask(self, "GET", "/api/whoami")
        except httpx.HTTPError as error:
            raise NoRabbitMQ(
                f"MOUSETRAP_TEST_BROKER_URL names a broker on {parts.hostname}, but its management plugin, of which tests ask "
                f"a virtual host each, gives no good answer at {self.api} ({error}): enable it with "
                "`rabbitmq-plugins enable rabbitmq_management`, or say in MOUSETRAP_TEST_BROKER_API where it is"
            ) from None


def find_own_rabbitmq(folder: Path) -> OwnRabbitMQ:
    """Starts one: in a container where an engine answers, else as a node of this machine's own package, kept in `folder`."""
    if engine_answers():
        try:
            return RabbitMQContainer()
        except (AssertionError, DockerException) as error:
            print(f"\nno RabbitMQ container ({error}); trying a private node", file=sys.stderr)
    if programs() is None:
        install_rabbitmq()
    if programs() is None:
        raise NoRabbitMQ(HOW)
    return RabbitMQNode(folder)


@contextmanager
def virtual_host(broker: Broker) -> Iterator[str]:
    """The address of a new, empty virtual host, which is gone afterwards with all that is in it."""
    name = f"test-{uuid4().hex[:12]}"
    ask(broker, "PUT", f"/api/vhosts/{name}")
    try:
        yield urlunsplit(urlsplit(broker.url)._replace(path=f"/{quote(name, safe='')}"))
    finally:
        ask(broker, "DELETE", f"/api/vhosts/{name}")


class SharedHost:
    """Lends one virtual host to test after test, and takes a new one before its queues become many.

    The first connection to a virtual host makes some thirty quorum queues, and its end deletes them: 0.8 s of the
    broker's processor time, which is more than most tests take.
    """

    _TESTS = 20

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._opened = ExitStack()
        self._url = ""
        self._left = 0

    def lend(self) -> str:
        """Its address."""
        if not self._left:
            self._opened.close()
            self._url = self._opened.enter_context(virtual_host(self._broker))
            self._left = self._TESTS
            # So that no test waits for the queues that all have.
            open_channel(self._url, [], options=QueueOptions()).close()
        self._left -= 1
        return self._url

    def close(self) -> None:
        """Deletes it with all that is in it."""
        self._opened.close()
