"""Simulates a cluster of broker, store, workers and API, with faults."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, cast

import msgspec

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.handlers import Binding
from mousetrap.jobs import DEFAULT_PRIORITY, Job, Message, MousetrapError, dead_queue, decode, first_job
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import RunConflict, RunFilter, StoredRun
from mousetrap.run_store.keys import packed_run_key
from mousetrap.shapes import RunState
from mousetrap.store_client.slots import slot_of
from mousetrap.submit_run import SubmitOptions, Submitter
from mousetrap.testing.simulation.process import CrashPoint, Fault, Process
from mousetrap.testing.simulation.simulation import KEYRING, Node, Simulation
from mousetrap.testing.simulation.store_client import Store, Transitions
from mousetrap.worker import Pauses, Runtime, WorkerOptions, run_worker
from simulation.graphs import GRAPH_KINDS, Drawn, Piece
from simulation.handlers import (
    HANDLERS,
    KINDS,
    LANES,
    LARGE,
    LIMITED_STAGE,
    OPTIONS,
    PIPELINES,
    PLACES,
    Dependencies,
    Work,
    counted,
    work,
)
from simulation.ledger import Ledger, PromiseBroken, RunFacts
from simulation.patches import LoggedErrors, patch_format, patch_time
from simulation.payloads import PayloadFaults, payloads_in, text_of
from simulation.store_cluster import Held, StoreCluster
from simulation.stored import decided_fence
from simulation.timetable import Timetable

#: How long a worker's claim is valid.
LEASE_S = 30.0
#: Between two searches of the API for runs that were recorded and not published.
REPUBLISH_S = 30.0
#: Between two sweeps of the API for payloads of unknown runs, and how long ago these were put: longer than a submit takes.
SWEEP_S, GRACE_S = 20.0, 60.0
#: A call can happen so long after it was made: three seconds after its caller's timeout.
_LATE_S = 14.0
#: Seconds between two looks at a cluster in which nothing happens for long.
_LONG_STEP_S = 600.0
#: Between two looks of a worker which queues are paused, and how long after one it takes nothing from these at the latest.
_LOOK_S, _FOLLOWS_S = 1.0, 20.0
_LATENCY_S = {"ann": 0.0010, "bob": 0.0013}


class Cluster(Simulation):
    """Two servers, the workers and an API. With `packed`, new runs are of wire format 5; with `split`, the store is a cluster of
    three. Call `end` after use."""

    def __init__(
        self, keep: int = 64, *, packed: bool = False, split: bool = False, drawn: Drawn | None = None
    ) -> None:
        self.drawn = drawn
        # A cluster keeps no limits: no worker of a stage with one starts there.
        served = [it for it in PIPELINES.values() if not (split and it is LANES)]
        self.pipelines: dict[str, Pipeline] = {it.name: it for it in ([drawn.pipeline] if drawn else served)}
        self.queues = [stage.queue for each in self.pipelines.values() for stage in each.stages]
        super().__init__((name for queue in self.queues for name in (queue, dead_queue(queue))), keep=keep)
        self.split: StoreCluster | None = None
        if split:
            later, now_ms = self.loop.call_later, self.server.now_ms
            self.split = StoreCluster(now_ms, later, self.names, self.transitioned)
            self.server = self.store = cast(Any, self.split)
        self.ledger = Ledger(self.loop.time, GRAPH_KINDS, LIMITED_STAGE, PLACES)
        self.workers: dict[str, Node] = {}
        #: When each queue was paused, and since when each worker knows of it.
        self.paused: dict[str, float] = {}
        self._followed: dict[tuple[str, str], float] = {}
        #: The workers that know of each pause and each end of one, and when they last looked.
        self._up_to_date: list[tuple[float, Node, Pauses]] = []
        self.runs: list[str] = []
        self.timetable = self._timetable()
        self.packed = packed
        self._tasks: set[asyncio.Task[Any]] = set()
        self._started = 0
        #: Redrives without a success yet, which will be repeated.
        self._redrives: set[object] = set()
        self._payload_faults = PayloadFaults(self.server)
        self._chance = random.getstate()
        random.seed(0)
        self._undo = [patch_time(self.loop), patch_format(5 if packed else 2)]
        self._log = LoggedErrors(self.ledger.wrong)
        self.loop.set_exception_handler(self._unhandled)
        self.api = self.open("api", 0.0009)
        self._run_api()

    def open(self, name: str, latency: float) -> Node:
        node = super().open(name, latency)
        client = self.store_client(node.process)
        node.store.payloads = payloads_in(client, lambda: self.loop.epoch_ms / 1000)
        return node

    def store_client(self, process: Process) -> Any:
        return self.split.client(process) if self.split else super().store_client(process)

    # Time

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def until_quiet(self, seconds: float, longest_s: float) -> None:
        """Lets time pass until the cluster is quiet, or until nothing has happened for `seconds`.

        For `longest_s` it goes on though nothing happens: what waits in a queue may have an end that comes after days.
        """
        self.run(_LATE_S)
        lines, silent, last = 0, 0.0, self.loop.time() + longest_s
        while not self.quiet and (silent < seconds or (self.left() and self.loop.time() < last)):
            self.run(5.0 if silent < seconds else _LONG_STEP_S)
            if self._redrives and not self._tasks:
                self._redrives.clear()
                self.redrive(repeat=True)
            silent = 0.0 if len(self.event_log.lines) > lines else silent + 5.0
            lines = len(self.event_log.lines)

    @property
    def quiet(self) -> bool:
        """True if all runs have ended, and no message is left to deliver."""
        left = self.left()
        ended = all(RunState(state).ended for state in self.ledger.states.values())
        return not left and ended and self.timetable.quiet and not self._tasks and not self._redrives

    def left(self) -> dict[str, int]:
        """The messages of each queue that are to be delivered yet.

        Without those that wait whether a failed run is repaired, as the message of who opened children does for days.
        """
        waiting = Counter(queue for queue, message in self.broker.delayed() if self._is_anchor(message))
        kept = {dead_queue(queue) for queue in self.queues}
        left = {queue: count - waiting[queue] for queue, count in self.broker.left().items()}
        return {queue: count for queue, count in left.items() if count and queue not in kept}

    def _is_anchor(self, message: Message) -> bool:
        job = decode(message.body)
        stage = self.drawn.pipeline.stage(job.stage) if self.drawn else None
        opens = (
            stage is not None and self.drawn is not None and self.drawn.pipeline.opened_by(stage) is not None
        )
        return opens and self.ledger.states.get(job.run_id) == "failed"

    # Users

    def submit(self, kind: str, priority: int = DEFAULT_PRIORITY) -> str:
        """Submits a new run."""
        run = f"run{len(self.runs) + 1}"
        self.runs.append(run)
        self.ledger.facts[run] = RunFacts(
            kind.removeprefix(LARGE), large=kind.startswith(LARGE), priority=priority
        )
        self._in_background(self._submit(run, is_new=True))
        return run

    def submit_again(self, run: str) -> None:
        """Repeats the submission of a run."""
        self._in_background(self._submit(run))

    def schedule(self, every_s: int, policy: str) -> None:
        """Makes a schedule; the API and one beside it fire its ticks."""
        if not self.timetable.asked:
            beside = self.open("beside", 0.0011)
            beside.task = self.loop.create_task(self.timetable.fire(beside))
        self._in_background(self.timetable.make(self._api(), every_s, policy))

    def cancel(self, run: str) -> None:
        """Cancels a run."""
        self._in_background(self._cancel(run))

    def redrive(self, repeat: bool) -> None:
        """Redrives all dead letters, after the cause of their failure was repaired; with `repeat`, until it succeeds."""
        self._payload_faults.repair()
        self._in_background(self._redrive(repeat))

    # Faults of workers

    def start(self, name: str) -> None:
        """Starts a worker for all stages."""
        self._started += 1
        node = self.open(f"{name}{self._started}", _LATENCY_S[name])
        bindings = [
            Binding(
                pipeline=pipeline,
                stage=stage.name,
                handler=self._handlers.get(stage.name, work),
                middleware=(counted,) if stage.name == "add" else (),
                lifespan=partial(self._dependencies, node.process),
            )
            for pipeline in self.pipelines.values()
            for stage in pipeline.stages
        ]
        options = WorkerOptions(
            name=node.process.name,
            # Of ann always so many; bob has one, and more while jobs wait, for which it subscribes again.
            concurrency=1 if name == "bob" else 3,
            concurrency_most=4 if name == "bob" else 0,
            prefetch=2,
            lease=LEASE_S,
            keyring=KEYRING,
            runtime=Runtime(now=lambda: self.loop.epoch_ms / 1000),
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

    def pause_queue(self, queue: str, seconds: float) -> None:
        """Pauses a queue for a while; each worker learns of it when it looks."""
        if queue not in self.paused:
            self.event_log.record(queue, "is paused")
            self.paused[queue] = self.loop.time()
            self.loop.call_later(seconds, self._resume_queue, queue)
            self._look_again()

    def _resume_queue(self, queue: str) -> None:
        self.event_log.record(queue, "is resumed")
        del self.paused[queue]
        self._look_again()

    def _look_again(self) -> None:
        """A look each second for days, while nothing changes, would be a third of what a simulation costs."""
        for looked, node, pauses in self._up_to_date:
            ago = self.loop.time() - looked
            self.loop.call_later(_LOOK_S - ago % _LOOK_S, self._look, node, pauses)
        self._up_to_date.clear()

    def check_pauses(self) -> None:
        """Raises PromiseBroken where a worker takes from a queue that it has known for long to be paused."""
        for node in self.workers.values():
            for queue in self.paused:
                since = self._followed.get((node.process.name, queue), self.loop.time())
                follows = node.process.alive and not node.process.paused and not self.broker.away
                if follows and self.loop.time() - since > _FOLLOWS_S and node.queue.takes_from(queue):
                    raise PromiseBroken(f"{node.process.name} takes from {queue}, which is paused")

    def _look(self, node: Node, pauses: Pauses) -> None:
        """A worker looks which queues are paused, if the store answers it, and again once that can have changed."""
        if not node.process.alive:
            return
        if node.process.paused or self.store.away:
            self.loop.call_later(_LOOK_S, self._look, node, pauses)
            return
        pauses.set(self.paused)
        for queue in self.queues:
            place = (node.process.name, queue)
            if queue in self.paused:
                self._followed.setdefault(place, self.loop.time())
            else:
                self._followed.pop(place, None)
        self._up_to_date.append((self.loop.time(), node, pauses))

    def pause_worker(self, name: str, seconds: float) -> None:
        """Pauses a worker; without heartbeats, the broker closes its connection."""
        node = self.workers[name]
        if node.process.alive and not node.process.paused:
            self.ledger.disturb(node.process)
            self.pause(node, seconds)

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

    def store_away(self, seconds: float) -> None:
        if not self.store.away:
            self.ledger.disturb()
        super().store_away(seconds)

    def store_server_away(self, pair: int, seconds: float) -> None:
        """One primary of the cluster is away for a while, and keeps its data."""
        assert self.split is not None
        store = self.split.store_of(pair)
        if store.away:
            return
        self.ledger.disturb()
        self.event_log.record(f"store {pair}", "goes away")
        store.away = True
        self.loop.call_later(seconds, self._is_back, store, f"store {pair}")

    def replace_store_server(self, pair: int, seconds: float) -> None:
        """One primary of the cluster dies, and after a while its replica has its place and all that it had."""
        assert self.split is not None
        if not self.split.store_of(pair).away:
            self._replace(pair, seconds, lambda: self._replaced(pair, seconds, None))

    def forget(self, pair: int, lag: float, seconds: float) -> None:
        """The same, and its replica has not had the last `lag` seconds."""
        split = self.split
        assert split is not None
        if split.store_of(pair).away or pair in split.lagging:
            return
        split.lagging.add(pair)
        held = split.primaries[pair].copied()

        def die() -> None:
            if split.store_of(pair).away:
                split.lagging.discard(pair)
            elif pair in split.lagging:
                self._replace(pair, seconds, forget)

        def forget() -> None:
            changed = split.primaries[pair].changed_since(held)  # another one may have its place by now
            split.lagging.discard(pair)
            self._replaced(pair, seconds, held)
            self.ledger.forget(self.server, changed)

        self.loop.call_later(lag, die)

    def _replace(self, pair: int, seconds: float, replace: Callable[[], None]) -> None:
        assert self.split is not None
        self.ledger.disturb()
        self.event_log.record(f"store {pair}", "dies")
        self.split.store_of(pair).away = True
        self.loop.call_later(seconds, replace)

    def _replaced(self, pair: int, seconds: float, held: Held | None) -> None:
        assert self.split is not None
        self.event_log.record(f"store {pair}", "is replaced by its replica")
        former = self.split.store_of(pair)
        self.split.replace(pair, held)
        self.loop.call_later(seconds, self._is_back, former, f"the former store {pair}")

    def schedule_runs(self) -> list[str]:
        """The runs that schedules have started."""
        return [run for run, facts in self.ledger.facts.items() if facts.schedule and facts.accepted]

    def pair_of(self, run: str) -> int:
        """Which servers of the cluster have a run."""
        assert self.split is not None
        return self.split.pair_with(packed_run_key(run))

    def move_slot(self, run: str, pair: int, seconds: float) -> None:
        """The slot of a run goes to another server of the cluster, key by key."""
        assert self.split is not None
        self.ledger.disturb()
        self.event_log.record("store", f"moves the slot of {run} to {pair}")
        self.split.move(slot_of(packed_run_key(run)), pair, seconds)

    def _is_back(self, store: Store, name: str) -> None:
        self.event_log.record(name, "is back")
        store.away = False

    def damage_payloads(self, run: str, altered: bool) -> None:
        """Alters or removes the payloads of a run in the store."""
        if self._payload_faults.damage(run, altered=altered):
            self.event_log.record("store", f"{'alters' if altered else 'loses'} the payloads of {run}")
            self.ledger.facts[run].damaged = True

    def heal(self) -> None:
        """Removes all faults that have not happened yet; a server that is away comes back in its time."""
        self.event_log.record("cluster", "has no more faults")
        self.timetable.ends = True
        if self.split is not None:
            self.split.lagging.clear()
        for node in self.nodes:
            node.process.crash_point = None
            for faults in node.process.faults.values():
                faults.clear()

    # After the end

    def stored(self, runs: Iterable[str]) -> dict[str, StoredRun]:
        """What the store shows of those of the runs that it knows."""

        async def read(node: Node) -> dict[str, StoredRun]:
            return {run: stored for run in runs if (stored := await node.store.get(run)) is not None}

        return self.loop.run_until_complete(read(self.open("reader", 0.001)))

    def listed(self, state: RunState) -> list[str]:
        """The runs that a list of those in this state shows."""

        async def read(node: Node) -> list[str]:
            page = await node.store.page(RunFilter(state=state), limit=200)
            return [run.id for run in page.runs]

        return self.loop.run_until_complete(read(self.open("reader", 0.001)))

    def sweep_all(self) -> dict[str, StoredRun]:
        """Removes the payloads of unknown runs, however young. Returns the large runs that are known."""
        while self.store.away or (self.split is not None and not self.split.is_whole):
            self.run(1.0)
        return self.loop.run_until_complete(self._sweep_all(self.open("sweeper", 0.001)))

    async def _sweep_all(self, node: Node) -> dict[str, StoredRun]:
        await asyncio.sleep(1.0)
        await node.store.payloads.sweep(node.store.known, 0.0)
        large = [run for run, facts in self.ledger.facts.items() if facts.large]
        return {run: stored for run in large if (stored := await node.store.get(run)) is not None}

    # Inside the cluster

    def _timetable(self) -> Timetable:
        kind = "graph" if self.drawn else "plain"
        work = Piece(kind) if self.drawn else Work(kind)
        pipeline = self.drawn.pipeline if self.drawn else KINDS[kind]
        return Timetable(pipeline, kind, work, self.ledger, lambda node: self.store_client(node.process))

    @property
    def _handlers(self) -> Mapping[str, Callable[..., Any]]:
        return self.drawn.handlers if self.drawn else HANDLERS

    def _pipeline_of(self, run: str) -> Pipeline:
        return self.drawn.pipeline if self.drawn else KINDS[self.ledger.facts[run].kind]

    def _api(self) -> Node:
        """The API, started again if it died."""
        if not self.api.process.alive:
            self.api = self.open("api", 0.0009)
            self.api.process.note("starts")
            self._run_api()
        return self.api

    def _run_api(self) -> None:
        self.api.task = self.loop.create_task(self._duties(self.api))
        self.api.task.add_done_callback(self._done)

    def _process(self, who: str) -> Process:
        return self.api.process if who == "api" else self.workers[who].process

    @asynccontextmanager
    async def _dependencies(self, process: Process) -> AsyncIterator[Dependencies]:
        def disturbed() -> bool:
            just_now = self.loop.time() < process.resumed_at + 1.0
            return self.store.away or process.paused or just_now or bool(process.faults["store"])

        yield Dependencies(process, self.ledger, disturbed, self._recorded)

    def _recorded(self, run: str) -> int:
        pipeline = self._pipeline_of(run)
        first = first_job(
            run_id=run, pipeline=pipeline.name, stage=pipeline.first.name, payload=b"null", accepted_ms=0
        )
        return decided_fence(self.server, run, first.id)

    async def _work(self, node: Node, bindings: list[Binding], options: WorkerOptions) -> None:
        pauses = Pauses(known=False)
        self.loop.call_later(_LATENCY_S["ann"], self._look, node, pauses)
        try:
            await run_worker(node.queue, node.store, bindings, options, node.stop, None, pauses)
        except Exception as error:
            self.ledger.wrong.append(f"{node.process.name} ended with {error!r}")
            raise
        node.process.note("has stopped")
        await node.queue.close()
        node.process.alive = False
        self.process_ended(node)

    def process_ended(self, node: Node) -> None:
        """Starts a process again, as a supervisor does."""
        if node is self.api:
            for asked in self._tasks:  # no caller is left to receive the reply
                self.loop.call_soon(asked.cancel)
            self.loop.call_later(node.back_after, self._api)
        for name, known in self.workers.items():
            if known is node:
                self.loop.call_later(node.back_after, self.start, name)

    async def _duties(self, node: Node) -> None:
        async with asyncio.TaskGroup() as duties:
            duties.create_task(self._republish(node))
            duties.create_task(self._sweep(node))
            duties.create_task(self.timetable.fire(node))

    async def _republish(self, node: Node) -> None:
        while True:
            await asyncio.sleep(REPUBLISH_S)
            with suppress(MousetrapError):
                await Submitter(node.store, node.queue, KEYRING, self.pipelines).republish()

    async def _sweep(self, node: Node) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            with suppress(MousetrapError):
                await node.store.payloads.sweep(node.store.known, GRACE_S)

    async def _submit(self, run: str, *, is_new: bool = False) -> None:
        node, facts = self._api(), self.ledger.facts[run]
        work = Piece(facts.kind) if self.drawn else Work(facts.kind, text=text_of(run) if facts.large else "")
        body = msgspec.json.encode(work)
        options = replace(OPTIONS.get(facts.kind, SubmitOptions()), priority=facts.priority)
        try:
            submitter = Submitter(node.store, node.queue, KEYRING, self.pipelines)
            await submitter.submit(self._pipeline_of(run), body, run_id=run, options=options, is_new=is_new)
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
        letters = DeadLetters(node.queue, node.store, KEYRING, self.pipelines)
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

    # What the simulation reports

    def published(self, job: Job, body: bytes) -> None:
        self.ledger.published(job, body)

    def transitioned(self, process: Process, happened: Transitions) -> None:
        self.ledger.on_transitions(self.server, process, happened)

    def process_died(self, node: Node) -> None:
        self.ledger.died(node.process)

    def _unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.ledger.wrong.append(f"{context.get('message')}: {context.get('exception')!r}")

    # The end

    def end(self) -> None:
        """Ends all tasks, and restores what was patched."""
        super().end()
        self._log.remove()
        for undo in self._undo:
            undo()
        random.setstate(self._chance)
