"""A broker, a store, workers and an API that exist only in this process, and everything that can go wrong with them."""

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
from simulation.broker_line import SimulatedQueue
from simulation.clock import SimulatedLoop
from simulation.handlers import EXPIRES_IN, KINDS, PIPELINES, QUEUES, Hands, Work, work
from simulation.ledger import Fate, Ledger
from simulation.process import Fuse, Lost, Process, Story
from simulation.store_client import Store, StoreClient
from simulation.store_server import StoreServer
from simulation.surroundings import Defects, simulated_time

KEYRING = Keyring.parse("simulated:a-secret-for-the-simulation")
#: Seconds: how long the store remembers; after how long the broker gives up a client that says nothing.
RETENTION, HEARTBEATS = 7 * 86_400.0, 20.0
#: Seconds that a worker's claim is good for.
LEASE = 30.0
#: Seconds between two looks of the API for runs that were recorded and never published.
REPUBLISH = 30.0
#: Seconds until the broker notices that a process has died: its machine is still there to say so.
_NOTICED = 0.01
_LATENCIES = {"ann": 0.0010, "bob": 0.0013}


@dataclass
class Crew:
    """A process with its connections."""

    process: Process
    queue: SimulatedQueue
    store: RunStore
    stop: Stop
    #: Seconds from its end to the start of its successor.
    back_after: float = 1.0
    task: "asyncio.Task[Any] | None" = None


class World:
    """Built new for each story; `end` it."""

    def __init__(self) -> None:
        self.loop = SimulatedLoop()
        self.story = Story(self.loop)
        self.ledger = Ledger(self.loop.time)
        self.workers: dict[str, Crew] = {}
        self.runs: list[str] = []
        self._names: dict[str, str] = {}
        self.server = StoreServer(lambda: self.loop.epoch_ms)
        self.store = Store(self.server, self._names, partial(self.ledger.witness, self.server))
        queues = [name for queue in QUEUES for name in (queue, dead_queue(queue))]
        self.broker = Broker(self.loop, queues, self._published)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started = 0
        #: Who sent dead letters round again and has not heard yet that it went well: they will repeat it.
        self._redrives: set[object] = set()
        self._crews: list[Crew] = []
        self._chance = random.getstate()
        random.seed(0)
        self._undo = simulated_time(self.loop)
        self._log = Defects(self.ledger.wrong)
        self.loop.set_exception_handler(self._unhandled)
        self.api = self._open("api", 0.0009)
        self._tend_api()

    # Time

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def until_quiet(self, seconds: float) -> None:
        """Lets time pass until nothing is left to do, or nothing has happened for so long that nothing more will."""
        told, silent = 0, 0.0
        while silent < seconds and not self.quiet:
            self.run(5.0)
            if self._redrives and not self._tasks:
                self._redrives.clear()
                self.redrive(patient=True)
            silent = 0.0 if len(self.story.lines) > told else silent + 5.0
            told = len(self.story.lines)

    @property
    def quiet(self) -> bool:
        """Whether all that was accepted has ended, and no message is left to deliver."""
        left = set(self.broker.left()) - {dead_queue(queue) for queue in QUEUES}
        ended = all(RunState(state).ended for state in self.ledger.states.values())
        return not left and ended and not self._tasks and not self._redrives

    # What people do

    def submit(self, kind: str) -> str:
        """Somebody wants a run, and will be told whether it is accepted."""
        run = f"run{len(self.runs) + 1}"
        self.runs.append(run)
        self.ledger.fates[run] = Fate(kind)
        self._do(self._submit(run))
        return run

    def submit_again(self, run: str) -> None:
        """Its submitter repeats it."""
        self._do(self._submit(run))

    def cancel(self, run: str) -> None:
        """Somebody wants a run to stop."""
        self._do(self._cancel(run))

    def redrive(self, patient: bool) -> None:
        """Somebody mends what the dead letters died of, and sends all of them round again; once more if that goes wrong."""
        self._do(self._redrive(patient))

    # What happens to workers

    def start(self, name: str) -> None:
        """A worker begins to serve all stages."""
        self._started += 1
        crew = self._open(f"{name}{self._started}", _LATENCIES[name])
        bindings = [
            Binding(
                pipeline=pipeline, stage=stage.name, handler=work, lifespan=partial(self._hands, crew.process)
            )
            for pipeline in PIPELINES.values()
            for stage in pipeline.stages
        ]
        options = WorkerOptions(
            name=crew.process.name, concurrency=3, prefetch=2, lease=LEASE, keyring=KEYRING
        )
        crew.process.note("starts")
        crew.task = self.loop.create_task(self._work(crew, bindings, options))
        self.workers[name] = crew

    def kill(self, name: str, back_after: float) -> None:
        """A worker dies; its machine tells the broker, and starts it again after a while."""
        crew = self.workers[name]
        crew.back_after = back_after
        crew.process.die("is killed")

    def crash_soon(self, who: str, calls: int, happened: bool) -> None:
        """A process dies at one of its next calls."""
        self._process(who).fuse = Fuse(calls, happened)

    def stop(self, name: str) -> None:
        """A worker is told to stop; told twice, it stops at once."""
        crew = self.workers[name]
        if crew.process.alive:
            crew.process.note("is told to stop")
            crew.stop.ask()

    def pause(self, name: str, seconds: float) -> None:
        """A worker stands still for a while; after some of it the broker takes it for dead."""
        crew = self.workers[name]
        if not crew.process.alive or crew.process.paused:
            return
        self.ledger.disturb(crew.process)
        crew.process.pause()

        def missed() -> None:
            if crew.process.alive:
                crew.process.note("is taken for dead by the broker")
                crew.queue.cut(heard=True)

        if seconds > HEARTBEATS:
            self.loop.call_later(HEARTBEATS, missed)
        self.loop.call_later(seconds, crew.process.resume)

    def cut(self, name: str) -> None:
        """A worker loses its connection to the broker."""
        crew = self.workers[name]
        crew.process.note("loses its connection to the broker")
        crew.queue.cut(heard=True)

    def trouble(self, who: str, kind: str, lost: Lost) -> None:
        """The next publish, or the next question to the store, of a process goes wrong."""
        process = self._process(who)
        if kind == "store":
            self.ledger.disturb(process)
        process.troubles[kind].append(lost)

    # What happens to servers

    def broker_away(self, seconds: float) -> None:
        """The broker stops for a while, and keeps what it has."""
        if self.broker.away:
            return
        self.story.tell("broker", "goes away")
        self.broker.away = True
        for crew in [*self.workers.values(), self.api]:
            crew.queue.cut(heard=True)

        def back() -> None:
            self.story.tell("broker", "is back")
            self.broker.come_back()

        self.loop.call_later(seconds, back)

    def store_away(self, seconds: float) -> None:
        """The store stops for a while, and keeps what it has."""
        if self.store.away:
            return
        self.story.tell("store", "goes away")
        self.ledger.disturb()
        self.store.away = True

        def back() -> None:
            self.story.tell("store", "is back")
            self.store.away = False

        self.loop.call_later(seconds, back)

    def heal(self) -> None:
        """Nothing new goes wrong; what is away comes back in its time."""
        self.story.tell("world", "is healed")
        for crew in self._crews:
            crew.process.fuse = None
            for troubles in crew.process.troubles.values():
                troubles.clear()

    # What the world does

    def _api(self) -> Crew:
        """The API; another one when it has died."""
        if not self.api.process.alive:
            self.api = self._open("api", 0.0009)
            self.api.process.note("starts")
            self._tend_api()
        return self.api

    def _open(self, name: str, latency: float) -> Crew:
        process = Process(name, self.loop, self.story, latency)
        queue = SimulatedQueue(self.broker, process)
        client: Any = StoreClient(self.store, process)
        crew = Crew(process, queue, RunStore(client, "simulation", RETENTION, 64, KEYRING), Stop())

        def died() -> None:
            self.ledger.died(process)
            self.loop.call_later(_NOTICED, partial(queue.cut, heard=False))
            self._ended(crew)
            if crew.task is not None:  # it can do nothing any more, and need not try to
                self.loop.call_soon(crew.task.cancel)

        process.died.append(died)
        self._crews.append(crew)
        return crew

    def _tend_api(self) -> None:
        self.api.task = self.loop.create_task(self._republish(self.api))
        self.api.task.add_done_callback(self._done)

    def _process(self, who: str) -> Process:
        return self.api.process if who == "api" else self.workers[who].process

    @asynccontextmanager
    async def _hands(self, process: Process) -> AsyncIterator[Hands]:
        def disturbed() -> bool:
            just_now = self.loop.time() < process.went_on + 1.0
            return self.store.away or process.paused or just_now or bool(process.troubles["store"])

        yield Hands(process, self.ledger, disturbed)

    async def _work(self, crew: Crew, bindings: list[Binding], options: WorkerOptions) -> None:
        try:
            await run_worker(crew.queue, crew.store, bindings, options, crew.stop)
        except Exception as error:
            self.ledger.wrong.append(f"{crew.process.name} ended with {error!r}")
            raise
        crew.process.note("has stopped")
        await crew.queue.close()
        crew.process.alive = False
        self._ended(crew)

    def _ended(self, crew: Crew) -> None:
        """Whoever looks after processes starts another one."""
        if crew is self.api:
            for asked in self._tasks:  # nobody will hear an answer
                self.loop.call_soon(asked.cancel)
            self.loop.call_later(crew.back_after, self._api)
        for name, known in self.workers.items():
            if known is crew:
                self.loop.call_later(crew.back_after, self.start, name)

    async def _republish(self, crew: Crew) -> None:
        while True:
            await asyncio.sleep(REPUBLISH)
            with suppress(MousetrapError):
                await Submitter(crew.store, crew.queue, KEYRING, PIPELINES).republish()

    async def _submit(self, run: str) -> None:
        crew, fate = self._api(), self.ledger.fates[run]
        body = msgspec.json.encode(Work(fate.kind))
        expires_in = EXPIRES_IN if fate.kind == "expiring" else None
        try:
            submitter = Submitter(crew.store, crew.queue, KEYRING, PIPELINES)
            await submitter.submit(KINDS[fate.kind], body, run_id=run, expires_in=expires_in)
        except RunConflict as error:
            self.ledger.wrong.append(f"{run} met another one of its name: {error}")
        except MousetrapError as error:
            crew.process.note(f"refuses {run}: {error}")
        else:
            crew.process.note(f"accepts {run}")
            fate.accepted = True

    async def _cancel(self, run: str) -> None:
        crew, fate = self._api(), self.ledger.fates[run]
        fate.cancel_asked = True
        try:
            state = await crew.store.cancel(run)
        except MousetrapError as error:
            crew.process.note(f"cannot cancel {run}: {error}")
            return
        crew.process.note(f"answers that {run} is {state}")
        if state == RunState.CANCELLED and fate.cancelled_at is None:
            fate.cancelled_at = self.loop.time()

    async def _redrive(self, patient: bool) -> None:
        crew, asked = self._api(), object()
        if patient:
            self._redrives.add(asked)
        letters = DeadLetters(crew.queue, crew.store, KEYRING, PIPELINES)
        try:
            repaired = await letters.redrive(Selection(), rate=1000.0, limit=100)
        except MousetrapError as error:
            crew.process.note(f"cannot send the dead letters round again: {error}")
        else:
            self._redrives.discard(asked)
            crew.process.note(
                f"has sent {repaired.done} dead letters round again and dropped {repaired.stale}"
            )

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.ledger.wrong.append(f"the API met {error!r}")

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
        """Leaves nothing behind."""
        for crew in self._crews:
            crew.process.end()
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
