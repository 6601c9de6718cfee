"""Opens the simulated queue by an address, as the real ones."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from uuid import uuid4

from mousetrap.job_queue import QueueOptions
from mousetrap.job_queue import connect as connect_to_server
from mousetrap.jobs import Queue, dead_queue
from mousetrap.testing.simulation.broker import Broker
from mousetrap.testing.simulation.broker_client import CONFIRM_TIMEOUT_S, SimulatedQueue
from mousetrap.testing.simulation.process import EventLog, Process
from support.relay import Relay
from support.relay import relay as relay_to_server

_SCHEME = "simulated://"
_LATENCY_S = 0.0005
#: The brokers and relays of this process, by address; a test's own are small, and go with its process.
_brokers: dict[str, Broker] = {}
_relays: dict[str, "SimulatedRelay"] = {}
_numbers = count(1)


def simulated_url() -> str:
    """The address of a new broker, which is made when it is first used, on the event loop of that time."""
    return f"{_SCHEME}guest:guest@broker-{uuid4().hex[:8]}:1/"


def connect(
    url: str, queues: Iterable[str], *, name: str, options: QueueOptions | None = None
) -> AbstractAsyncContextManager[Queue]:
    """The queue at `url`, as `job_queue.connect` opens it, or a simulated one."""
    if url.startswith(_SCHEME):
        return _connect(url, queues, name, options or QueueOptions())
    return connect_to_server(url, queues, name=name, options=options or QueueOptions())


def relay(url: str) -> "AbstractAsyncContextManager[Relay | SimulatedRelay]":
    """A proxy to a server, or its like for a simulated broker."""
    return _relay(url) if url.startswith(_SCHEME) else relay_to_server(url)


class SimulatedRelay:
    """A way to a simulated broker that a test can cut and shut."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.url = f"{_SCHEME}guest:guest@relay-{next(_numbers)}:1/"
        self.is_shut = False
        self.queues: list[SimulatedQueue] = []

    def cut(self) -> None:
        for queue in self.queues:
            queue.disconnect(noticed=True)

    async def shut(self) -> None:
        self._shut(True)
        self.cut()
        await asyncio.sleep(4 * _LATENCY_S)  # until the clients have noticed

    async def open(self) -> None:
        self._shut(False)

    def _shut(self, is_shut: bool) -> None:
        self.is_shut = is_shut
        for queue in self.queues:
            queue.cut_off = is_shut


@asynccontextmanager
async def _relay(url: str) -> AsyncIterator[SimulatedRelay]:
    made = SimulatedRelay(url)
    _relays[made.url] = made
    yield made


@asynccontextmanager
async def _connect(url: str, queues: Iterable[str], name: str, options: QueueOptions) -> AsyncIterator[Queue]:
    way = _relays.get(url)
    loop = asyncio.get_running_loop()
    target = way.target if way else url
    broker = _brokers.setdefault(target, Broker(loop, (), lambda queue, message: None))
    for queue_name in queues:
        broker.declare(queue_name)
        broker.declare(dead_queue(queue_name))
    process = Process(name, loop, EventLog(loop), _LATENCY_S)
    deadline = min(options.confirm_deadline, CONFIRM_TIMEOUT_S)
    where = url.rpartition("@")[2].rstrip("/")
    queue = SimulatedQueue(broker, process, where=where, deadline=deadline)
    if way is not None:
        way.queues.append(queue)
        if way.is_shut:
            queue.cut_off = True
            queue.disconnect(noticed=True)
    try:
        yield queue
    finally:
        await queue.close()
