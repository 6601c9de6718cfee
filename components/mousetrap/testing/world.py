"""A world in simulated time: real workers and transitions, simulated servers."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from itertools import filterfalse, islice
from typing import Any, NoReturn, TypeVar

import msgspec

from mousetrap.dead_letters import DeadLetter, DeadLetters, Repaired, Selection, read_letter
from mousetrap.jobs import Message, dead_queue, decode
from mousetrap.pipeline import Pipeline, write
from mousetrap.repeat_attempt import FROM_LIFESPAN
from mousetrap.run_store import StoredRun
from mousetrap.submit_run import SubmitOptions
from mousetrap.testing.simulation.clock import EPOCH_MS, Deadlock, Livelock, OutOfTime
from mousetrap.testing.simulation.reading import Reading
from mousetrap.testing.simulation.simulation import KEYRING
from mousetrap.testing.simulation.world_simulation import Served, WorldSimulation, crash_point
from mousetrap.testing.work import Work, only_stage, pipeline_of, prepared
from mousetrap.testing.world_run import NotCompleted, WorldRun, last_failure

T = TypeVar("T")

#: Seconds of simulated time after which `settle` gives up: longer than a policy waits for an outage.
SETTLE_LIMIT_S = 10 * 86_400.0
#: Real seconds that a test in a world may take, unless its marker `test_timeout` gives others.
REAL_LIMIT_S = 30.0
_MOST_LETTERS = 10_000


class World:
    """Workers, a broker and a store of one test's own, on a clock that jumps.

    Real are the worker, the submitter, the dead letters and the store's transitions; simulated are the servers, the
    network and the time. Its async methods belong into a test that the plugin runs in the world's event loop. Handlers do
    no real input or output on that loop: give them a substitute by `deps`.
    """

    def __init__(self) -> None:
        self._simulation = WorldSimulation()
        self._reading = Reading(self._simulation)
        #: A run that had not ended when all were last looked at.
        self._not_ended: list[str] = []
        self._over = False
        #: The broker, to be away on demand.
        self.broker = Server(self._simulation, self._simulation.broker_away)
        #: The store, to be away on demand.
        self.store = Server(self._simulation, self._simulation.store_away)

    # Workers

    def serve(
        self,
        *work: Work,
        handler: Callable[..., Any] | None = None,
        handlers: Mapping[str, Callable[..., Any]] | None = None,
        deps: Any = FROM_LIFESPAN,
        concurrency: int = 10,
    ) -> None:
        """Starts a worker that serves these tasks, chains or bindings.

        `handler` replaces the handler of the only stage, `handlers` those of stages by name, and `deps` what the lifespans
        give. Raises ValueError for a handler of no stage.
        """
        self._check_open()
        if handler is not None:
            handlers = {only_stage(work): handler}
        bindings = prepared(work, handlers or {}, deps)
        for binding in bindings:
            self._simulation.declare(binding.pipeline)
        self._simulation.start(Served(bindings, concurrency))

    def kill_worker(self, *, at: str | None = None, back_after: float = 1.0) -> None:
        """Kills the worker that was started first, at once, or `at` a point that it reaches; it is started again after a second.

        Points: before or after claim, record, publish, acknowledge, as "after_publish". Raises ValueError for another one.
        """
        self._check_open()
        worker = next(iter(self._simulation.workers), None)
        if worker is None:
            raise ValueError("no worker lives that could be killed: world.serve(...) starts one")
        self._simulation.kill(worker, crash_point(at) if at else None, back_after)

    # Runs

    async def submit(
        self,
        work: Any,
        value: Any = None,
        *,
        run_id: str | None = None,
        delay: float = 0.0,
        expires_in: float | None = None,
    ) -> WorldRun:
        """Submits a run of a task, a chain or a pipeline, which can be given by its name; None is the contract's defaults.

        It may begin in `delay` seconds, and not after `expires_in`.

        Raises what a submitter raises: ContractBroken, RunConflict, QueueUnreachable, StoreUnreachable.
        """
        self._check_open()
        pipeline = self._pipeline(work)
        body = b"" if value is None else write(value, pipeline.first.input)
        number = len(self._simulation.run_ids) + 1
        options = SubmitOptions(delay_s=delay, expires_in=expires_in)
        accepted = await self._simulation.submitter.submit(
            pipeline, body, run_id=run_id or f"run-{number}", options=options
        )
        return self.run(accepted.run_id)

    def run(self, run_id: str) -> WorldRun:
        """A run by its id."""
        stored = self._stored(run_id)
        return WorldRun(
            run_id,
            self._simulation.pipelines[stored.pipeline],
            self._reading.run,
            self._reading.jobs,
            self._simulation.errors,
            self._simulation.api.store.cancel,
            EPOCH_MS,
        )

    def submitted(self, pipeline: Any, **facts: Any) -> list[WorldRun]:
        """The runs of the pipeline that fit: `input__minimum=4.5` for a part of the input, `state="failed"` for a field."""
        name = self._pipeline(pipeline).name
        runs = map(self.run, self._simulation.run_ids)
        return [run for run in runs if run.pipeline.name == name and _fits(run, facts)]

    def not_submitted(self, pipeline: Any, **facts: Any) -> bool:
        """Whether no run of the pipeline fits."""
        return not self.submitted(pipeline, **facts)

    def dead(self, queue: str | None = None) -> list[DeadLetter]:
        """The dead letters, of one queue or of all, oldest first in each."""
        stages = [stage for each in self._simulation.pipelines.values() for stage in each.stages]
        queues = sorted({stage.queue for stage in stages}) if queue is None else [queue]
        return [
            read_letter(message, name, KEYRING)
            for name in queues
            for message in self._simulation.broker.waiting(dead_queue(name))
        ]

    async def redrive(self, **selection: Any) -> Repaired:
        """Redrives the dead letters that the selection names; all of them without one."""
        api = self._simulation.api
        letters = DeadLetters(
            api.queue, api.store, KEYRING, self._simulation.pipelines, now=self._simulation.loop.time
        )
        return await letters.redrive(Selection(**selection), rate=1_000.0, limit=_MOST_LETTERS)

    # Time

    @property
    def time(self) -> float:
        """Seconds since the world began."""
        return self._simulation.loop.time()

    async def settle(self, *, within: float = SETTLE_LIMIT_S) -> None:
        """Lets time pass until every run has ended and no message is left but dead letters, and those that wait for their redrive.

        After `within` simulated seconds it raises the error of a handler whose run has not ended, with its timeline;
        NotCompleted where there is none, or at once where a message waits that no worker serves.
        """
        self._check_open()
        end = self.time + within
        changed = self._simulation.changed
        while not self._settled():
            if self.time >= end:
                self._give_up(f"not settled within {within:g} s")
            changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), end - self.time)

    async def advance(
        self, *, days: float = 0.0, hours: float = 0.0, minutes: float = 0.0, seconds: float = 0.0
    ) -> None:
        """Lets so much time pass."""
        self._check_open()
        await asyncio.sleep(days * 86_400 + hours * 3_600 + minutes * 60 + seconds)
        self._raise_defect()

    # For the plugin

    def drive(self, test: Coroutine[Any, Any, T], real_limit_s: float = REAL_LIMIT_S) -> T:
        """Runs a coroutine in the world's event loop. After `real_limit_s` real seconds it fails as `settle` does."""
        self._check_open()
        self._simulation.loop.limit(real_limit_s)
        task = self._simulation.loop.create_task(test)
        try:
            return self._simulation.loop.run_until_complete(task)
        except (Deadlock, Livelock, OutOfTime) as error:
            task.cancel()
            self._give_up(str(error))

    def log(self) -> str:
        """What happened in the world, a line for each event."""
        return "\n".join(self._simulation.event_log.lines)

    def close(self) -> None:
        """Ends the world."""
        if not self._over:
            self._over = True
            self._simulation.end()

    # Inside

    def _stored(self, run_id: str) -> StoredRun:
        stored = self._reading.run(run_id)
        if stored is None:
            raise NotCompleted(f"there is no run {run_id}; there are: {', '.join(self._simulation.run_ids)}")
        return stored

    def _settled(self) -> bool:
        self._raise_defect()
        broker = self._simulation.broker
        left = {queue for queue in broker.left() if not _dead(queue)}
        lives = [*self._simulation.workers.values(), *self._simulation.restarting]
        served = {binding.stage.queue for each in lives for binding in each.bindings}
        if unserved := left - served:
            self._give_up(f"no worker serves {', '.join(sorted(unserved))}: world.serve(...) starts one")
        # In the order of their costs: each change asks.
        return all(map(_dead, broker.due())) and self._all_ended() and self._only_redrives_wait()

    def _only_redrives_wait(self) -> bool:
        delayed = self._simulation.broker.delayed()
        return all(_dead(queue) or self._waits_for_a_redrive(message) for queue, message in delayed)

    def _waits_for_a_redrive(self, message: Message) -> bool:
        """Whether it is the job of a fan-out that has failed and is decided: it comes again for a week, should it be repaired."""
        job = decode(message.body)
        run = self.run(job.run_id)
        fan = next((line.children for line in run.jobs if line.id == job.id), None)
        return run.state == "failed" and fan is not None and fan.state == "closed" and fan.is_decided

    def _all_ended(self) -> bool:
        """Whether all runs have ended. Each change asks, and a read costs half a millisecond: what had not ended is read first."""
        newest_first = (*self._not_ended, *reversed(self._simulation.run_ids))
        self._not_ended = list(islice(filterfalse(self._has_ended, newest_first), 1))
        return not self._not_ended

    def _has_ended(self, run_id: str) -> bool:
        return self._stored(run_id).state.ended

    def _unfinished(self) -> list[WorldRun]:
        return [run for run in map(self.run, self._simulation.run_ids) if not run.state.ended]

    def _give_up(self, why: str) -> NoReturn:
        unfinished = self._unfinished()
        # A run whose handler failed is the better explanation than one that only waits.
        unfinished.sort(key=lambda run: last_failure(run.stored) is None)
        if unfinished:
            unfinished[0].fail(why)
        raise NotCompleted(f"{why}\n{self.log()}")

    def _raise_defect(self) -> None:
        if self._simulation.defects:
            raise self._simulation.defects.pop()

    def _pipeline(self, work: Any) -> Pipeline:
        pipeline = self._simulation.pipelines.get(work) if isinstance(work, str) else pipeline_of(work)
        if pipeline is None:
            known = ", ".join(self._simulation.pipelines) or "none"
            raise ValueError(f"there is no pipeline {work!r} in this world; there are: {known}")
        self._simulation.declare(pipeline)
        return pipeline

    def _check_open(self) -> None:
        if self._over:
            raise RuntimeError("this world has ended with its test: each test takes a `world` of its own")


class Server:
    """A server of a world, which can be away."""

    def __init__(self, simulation: WorldSimulation, away: Callable[[float], None]) -> None:
        self._simulation = simulation
        self._away = away

    def away(self, *, seconds: float) -> None:
        """It is away from now on for so long, and keeps what it has."""
        self._simulation.repair()
        self._away(seconds)


def _fits(run: WorldRun, facts: Mapping[str, Any]) -> bool:
    return all(_found(run, *name.split("__")) == msgspec.to_builtins(value) for name, value in facts.items())


def _found(run: WorldRun, field: str, *path: str) -> Any:
    """The part of the field that the path leads to; None where there is none."""
    found = getattr(run.stored, field)
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _dead(queue: str) -> bool:
    return queue.endswith(dead_queue(""))
