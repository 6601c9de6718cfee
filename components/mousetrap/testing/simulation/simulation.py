"""Simulates broker, store, network and processes on one event loop."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mousetrap.jobs import Job, JobUndecodable, Message, decode
from mousetrap.run_store import RunStore
from mousetrap.signing import Keyring
from mousetrap.testing.simulation.broker import Broker
from mousetrap.testing.simulation.broker_client import SimulatedQueue
from mousetrap.testing.simulation.clock import SimulatedLoop
from mousetrap.testing.simulation.process import EventLog, Process
from mousetrap.testing.simulation.store_client import Store, StoreClient, Transitions
from mousetrap.testing.simulation.store_server import StoreServer
from mousetrap.worker import Stop

KEYRING = Keyring.parse("simulated:a-secret-for-the-simulation")
RETENTION_S = 7 * 86_400.0
#: After which the broker closes a connection without heartbeats.
HEARTBEAT_TIMEOUT_S = 20.0
#: Until the broker notices that a process died: its machine closes the connection.
_NOTICE_DEATH_S = 0.01
#: Seconds that what is left has to end by its cancellation.
_END_TIMEOUT_S = 5.0


@dataclass(eq=False)
class Node:
    """A process with its clients of broker and store."""

    process: Process
    queue: SimulatedQueue
    store: RunStore
    stop: Stop
    #: Seconds from its end to its restart.
    back_after: float = 1.0
    task: "asyncio.Task[Any] | None" = None


class Simulation:
    """The two servers, and the nodes that use them. Override the methods at its end to watch it; call `end` after use."""

    def __init__(self, queues: Iterable[str] = (), *, keep: int = 64) -> None:
        self.loop = SimulatedLoop()
        self.event_log = EventLog(self.loop)
        #: Readable names of jobs, by id.
        self.names: dict[str, str] = {}
        self.nodes: list[Node] = []
        self.server = StoreServer(lambda: self.loop.epoch_ms)
        self.store = Store(self.server, self.names, self.transitioned)
        self.broker = Broker(self.loop, queues, self._published)
        self._keep = keep

    def open(self, name: str, latency: float) -> Node:
        """A new process; a message takes `latency` seconds between it and a server."""
        process = Process(name, self.loop, self.event_log, latency)
        queue = SimulatedQueue(self.broker, process)
        store = RunStore(self.store_client(process), "simulation", RETENTION_S, self._keep, KEYRING)
        node = Node(process, queue, store, Stop())
        process.died.append(partial(self._died, node))
        self.nodes.append(node)
        return node

    # Faults

    def pause(self, node: Node, seconds: float) -> None:
        """Pauses a process; without heartbeats, the broker closes its connection."""
        if not node.process.alive or node.process.paused:
            return
        node.process.pause()

        def missed() -> None:
            if node.process.alive:
                node.process.note("misses its heartbeats; the broker closes its connection")
                node.queue.disconnect(noticed=True)

        if seconds > HEARTBEAT_TIMEOUT_S:
            self.loop.call_later(HEARTBEAT_TIMEOUT_S, missed)
        self.loop.call_later(seconds, node.process.resume)

    def broker_away(self, seconds: float) -> None:
        """Stops the broker for a while; it keeps its messages."""
        if self.broker.away:
            return
        self.event_log.record("broker", "goes away")
        self.broker.away = True
        for node in self.nodes:
            node.queue.disconnect(noticed=True)

        def back() -> None:
            self.event_log.record("broker", "is back")
            self.broker.come_back()

        self.loop.call_later(seconds, back)

    def store_away(self, seconds: float) -> None:
        """Stops the store for a while; it keeps its data."""
        if self.store.away:
            return
        self.event_log.record("store", "goes away")
        self.store.away = True

        def back() -> None:
            self.event_log.record("store", "is back")
            self.store.away = False

        self.loop.call_later(seconds, back)

    # The end

    def end(self) -> None:
        """Ends all tasks and closes the event loop."""
        for node in self.nodes:
            node.process.end()
        for _ in range(3):
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left, timeout=_END_TIMEOUT_S))
        self.loop.close()

    # To override

    def store_client(self, process: Process) -> Any:
        """The client of the store for a process."""
        return StoreClient(self.store, process)

    def published(self, job: Job, body: bytes) -> None:
        """The broker has stored a job."""

    def transitioned(self, process: Process, happened: Transitions) -> None:
        """The store has executed the transitions of one call."""

    def process_died(self, node: Node) -> None:
        """A process has died."""

    def process_ended(self, node: Node) -> None:
        """A process has ended, of itself or by its death."""

    def _published(self, queue: str, message: Message) -> None:
        try:
            job = decode(message.body)
        except JobUndecodable:
            return
        self.names[job.id] = f"{job.run_id}.{job.stage}"
        self.published(job, message.body)

    def _died(self, node: Node) -> None:
        self.process_died(node)
        self.loop.call_later(_NOTICE_DEATH_S, partial(node.queue.disconnect, noticed=False))
        self.process_ended(node)
        if node.task is not None:  # its task must not run on
            self.loop.call_soon(node.task.cancel)
