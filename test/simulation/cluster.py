"""Simulates a cluster of broker, store, workers and API, with faults."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.handlers import Binding
from mousetrap.jobs import JobUndecodable, Message, MousetrapError, dead_queue, decode
from mousetrap.run_store import RunConflict, RunStore
from mousetrap.shapes import RunState
from mousetrap.signing import Keyring
from mousetrap.submit_run import Submitter
from mousetrap.worker import Stop, WorkerOptions, run_worker
from simulation.broker import Broker
from simulation.broker_client import SimulatedQueue
from simulation.clock import SimulatedLoop
from simulation.handlers import EXPIRES_IN_S, KINDS, PIPELINES, QUEUES, Dependencies, Work, work
from simulation.ledger import Ledger, RunFacts
from simulation.patches import LoggedErrors, patch_time
from simulation.process import CrashPoint, EventLog, Fault, Process
from simulation.store_client import Store, StoreClient
from simulation.store_server import StoreServer

KEYRING = Keyring.parse("simulated:a-secret-for-the-simulation")
RETENTION_S = 7 * 86_400.0
#: After which the broker closes a connection without heartbeats.
HEARTBEAT_TIMEOUT_S = 20.0
#: How long a worker's claim is valid.
LEASE_S = 30.0
#: Between two searches of the API for runs that were recorded and not published.
REPUBLISH_S = 30.0
#: Until the broker notices that a process died: its machine closes the connection.
_NOTICE_DEATH_S = 0.01
_LATENCY_S = {"ann": 0.0010, "bob": 0.0013}


@dataclass
class Node:
    """A process with its clients of broker and store."""

    process: Process
    queue: SimulatedQueue
    store: RunStore
    stop: Stop
    #: Seconds from its end to its restart.
    back_after: float = 1.0
    task: "asyncio.Task[Any] | None" = None


class Cluster:
    """Two servers, the workers and an API. Call `end` after use."""

    def __init__(self) -> None:
        self.loop = SimulatedLoop()
        self.event_log = EventLog(self.loop)
        self.ledger = Ledger(self.loop.time)
        self.workers: dict[str, Node] = {}
        self.runs: list[str] = []
        self._names: dict[str, str] = {}
        self.server = StoreServer(lambda: self.loop.epoch_ms)
        self.store = Store(self.server, self._names, partial(self.ledger.on_transitions, self.server))
        queues = [name for queue in QUEUES for name in (queue, dead_queue(queue))]
        self.broker = Broker(self.loop, queues, self._published)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started = 0
        #: Redrives without a success yet, which will be repeated.
        self._redrives: set[object] = set()
        self._nodes: list[Node] = []
        self._chance = random.getstate()
        random.seed(0)
        self._undo = patch_time(self.loop)
        self._log = LoggedErrors(self.ledger.wrong)
        self.loop.set_exception_handler(self._unhandled)
        self.api = self._open("api", 0.0009)
        self._run_api()

    # Time

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def until_quiet(self, seconds: float) -> None:
        """Lets time pass until the cluster is quiet, or until nothing has happened for `seconds`."""
        lines, silent = 0, 0.0
        while silent < seconds and not self.quiet:
            self.run(5.0)
            if self._redrives and not self._tasks:
                self._redrives.clear()
                self.redrive(repeat=True)
            silent = 0.0 if len(self.event_log.lines) > lines else silent + 5.0
            lines = len(self.event_log.lines)

    @property
    def quiet(self) -> bool:
        """True if all runs have ended, and no message is left to deliver."""
        left = set(self.broker.left()) - {dead_queue(queue) for queue in QUEUES}
        ended = all(RunState(state).ended for state in self.ledger.states.values())
        return not left and ended and not self._tasks and not self._redrives

    # Users

    def submit(self, kind: str) -> str:
        """Submits a new run."""
        run = f"run{len(self.runs) + 1}"
        self.runs.append(run)
        self.ledger.facts[run] = RunFacts(kind)
        self._in_background(self._submit(run))
        return run

    def submit_again(self, run: str) -> None:
        """Repeats the submission of a run."""
        self._in_background(self._submit(run))

    def cancel(self, run: str) -> None:
        """Cancels a run."""
        self._in_background(self._cancel(run))

    def redrive(self, repeat: bool) -> None:
        """Redrives all dead letters, after the cause of their failure was repaired; with `repeat`, until it succeeds."""
        self._in_background(self._redrive(repeat))

    # Faults of workers

    def start(self, name: str) -> None:
        """Starts a worker for all stages."""
        self._started += 1
        node = self._open(f"{name}{self._started}", _LATENCY_S[name])
        bindings = [
            Binding(
                pipeline=pipeline,
                stage=stage.name,
                handler=work,
                lifespan=partial(self._dependencies, node.process),
            )
            for pipeline in PIPELINES.values()
            for stage in pipeline.stages
        ]
        options = WorkerOptions(
            name=node.process.name, concurrency=3, prefetch=2, lease=LEASE_S, keyring=KEYRING
        )
        node.process.note("starts")
        node.task = self.loop.create_task(self._work(node, bindings, options))
        self.workers[name] = node

    def kill(self, name: str, back_after: float) -> None:
        """Kills a worker; its machine closes the connections, and starts it again after a while."""
        node = self.workers[name]
        node.back_after = back_after
        node.process.die("is killed")

    def crash_soon(self, who: str, calls: int, happened: bool) -> None:
        """Makes a process die at one of its next calls."""
        self._process(who).crash_point = CrashPoint(calls, happened)

    def stop(self, name: str) -> None:
        """Stops a worker: the first call drains, the second stops at once."""
        node = self.workers[name]
        if node.process.alive:
            node.process.note("receives a stop signal")
            node.stop.ask()

    def pause(self, name: str, seconds: float) -> None:
        """Pauses a worker; without heartbeats, the broker closes its connection."""
        node = self.workers[name]
        if not node.process.alive or node.process.paused:
            return
        self.ledger.disturb(node.process)
        node.process.pause()

        def missed() -> None:
            if node.process.alive:
                node.process.note("misses its heartbeats; the broker closes its connection")
                node.queue.disconnect(noticed=True)

        if seconds > HEARTBEAT_TIMEOUT_S:
            self.loop.call_later(HEARTBEAT_TIMEOUT_S, missed)
        self.loop.call_later(seconds, node.process.resume)

    def disconnect(self, name: str) -> None:
        """Closes a worker's connection to the broker."""
        node = self.workers[name]
        node.process.note("loses its connection to the broker")
        node.queue.disconnect(noticed=True)

    def fault(self, who: str, kind: str, fault: Fault) -> None:
        """Adds a fault to the next publish, or the next store call, of a process."""
        process = self._process(who)
        if kind == "store":
            self.ledger.disturb(process)
        process.faults[kind].append(fault)

    # Faults of servers

    def broker_away(self, seconds: float) -> None:
        """Stops the broker for a while; it keeps its messages."""
        if self.broker.away:
            return
        self.event_log.record("broker", "goes away")
        self.broker.away = True
        for node in [*self.workers.values(), self.api]:
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
        self.ledger.disturb()
        self.store.away = True

        def back() -> None:
            self.event_log.record("store", "is back")
            self.store.away = False

        self.loop.call_later(seconds, back)

    def heal(self) -> None:
        """Removes all faults that have not happened yet; a server that is away comes back in its time."""
        self.event_log.record("cluster", "has no more faults")
        for node in self._nodes:
            node.process.crash_point = None
            for faults in node.process.faults.values():
                faults.clear()

    # Inside the cluster

    def _api(self) -> Node:
        """The API, started again if it died."""
        if not self.api.process.alive:
            self.api = self._open("api", 0.0009)
            self.api.process.note("starts")
            self._run_api()
        return self.api

    def _open(self, name: str, latency: float) -> Node:
        process = Process(name, self.loop, self.event_log, latency)
        queue = SimulatedQueue(self.broker, process)
        client: Any = StoreClient(self.store, process)
        node = Node(process, queue, RunStore(client, "simulation", RETENTION_S, 64, KEYRING), Stop())

        def died() -> None:
            self.ledger.died(process)
            self.loop.call_later(_NOTICE_DEATH_S, partial(queue.disconnect, noticed=False))
            self._ended(node)
            if node.task is not None:  # its task must not run on
                self.loop.call_soon(node.task.cancel)

        process.died.append(died)
        self._nodes.append(node)
        return node

    def _run_api(self) -> None:
        self.api.task = self.loop.create_task(self._republish(self.api))
        self.api.task.add_done_callback(self._done)

    def _process(self, who: str) -> Process:
        return self.api.process if who == "api" else self.workers[who].process

    @asynccontextmanager
    async def _dependencies(self, process: Process) -> AsyncIterator[Dependencies]:
        def disturbed() -> bool:
            just_now = self.loop.time() < process.resumed_at + 1.0
            return self.store.away or process.paused or just_now or bool(process.faults["store"])

        yield Dependencies(process, self.ledger, disturbed)

    async def _work(self, node: Node, bindings: list[Binding], options: WorkerOptions) -> None:
        try:
            await run_worker(node.queue, node.store, bindings, options, node.stop)
        except Exception as error:
            self.ledger.wrong.append(f"{node.process.name} ended with {error!r}")
            raise
        node.process.note("has stopped")
        await node.queue.close()
        node.process.alive = False
        self._ended(node)

    def _ended(self, node: Node) -> None:
        """Starts a process again, as a supervisor does."""
        if node is self.api:
            for asked in self._tasks:  # no caller is left to receive the reply
                self.loop.call_soon(asked.cancel)
            self.loop.call_later(node.back_after, self._api)
        for name, known in self.workers.items():
            if known is node:
                self.loop.call_later(node.back_after, self.start, name)

    async def _republish(self, node: Node) -> None:
        while True:
            await asyncio.sleep(REPUBLISH_S)
            with suppress(MousetrapError):
                await Submitter(node.store, node.queue, KEYRING, PIPELINES).republish()

    async def _submit(self, run: str) -> None:
        node, facts = self._api(), self.ledger.facts[run]
        body = msgspec.json.encode(Work(facts.kind))
        expires_in = EXPIRES_IN_S if facts.kind == "expiring" else None
        try:
            submitter = Submitter(node.store, node.queue, KEYRING, PIPELINES)
            await submitter.submit(KINDS[facts.kind], body, run_id=run, expires_in=expires_in)
        except RunConflict as error:
            self.ledger.wrong.append(f"{run} conflicts with another run of its id: {error}")
        except MousetrapError as error:
            node.process.note(f"refuses {run}: {error}")
        else:
            node.process.note(f"accepts {run}")
            facts.accepted = True

    async def _cancel(self, run: str) -> None:
        node, facts = self._api(), self.ledger.facts[run]
        facts.cancel_asked = True
        try:
            state = await node.store.cancel(run)
        except MousetrapError as error:
            node.process.note(f"cannot cancel {run}: {error}")
            return
        node.process.note(f"responds that {run} is {state}")
        if state == RunState.CANCELLED and facts.cancelled_at is None:
            facts.cancelled_at = self.loop.time()

    async def _redrive(self, repeat: bool) -> None:
        node, asked = self._api(), object()
        if repeat:
            self._redrives.add(asked)
        letters = DeadLetters(node.queue, node.store, KEYRING, PIPELINES)
        try:
            repaired = await letters.redrive(Selection(), rate=1000.0, limit=100)
        except MousetrapError as error:
            node.process.note(f"cannot redrive the dead letters: {error}")
        else:
            self._redrives.discard(asked)
            node.process.note(f"redrove {repaired.done} dead letters and dropped {repaired.stale}")

    def _in_background(self, what: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.ledger.wrong.append(f"the API failed with {error!r}")

    def _published(self, queue: str, message: Message) -> None:
        try:
            job = decode(message.body)
        except JobUndecodable:
            return
        self._names[job.id] = f"{job.run_id}.{job.stage}"
        self.ledger.published(job, message.body)

    def _unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.ledger.wrong.append(f"{context.get('message')}: {context.get('exception')!r}")

    # The end

    def end(self) -> None:
        """Ends all tasks, and restores what was patched."""
        for node in self._nodes:
            node.process.end()
        for _ in range(3):
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left, timeout=5))
        self.loop.close()
        self._log.remove()
        self._undo()
        random.setstate(self._chance)
