"""Decides ticks that are due, and submits the runs that schedules owe."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Protocol

from msgspec.structs import replace

from mousetrap.jobs import MousetrapError
from mousetrap.payloads import PayloadTooLarge
from mousetrap.pipeline import ContractBroken, Pipeline
from mousetrap.run_store import RunConflict, RunStore
from mousetrap.scheduler.store import AGAIN_MS, Schedules, ScheduleTaken, TooManySchedules
from mousetrap.schedules import (
    Change,
    Origin,
    Owed,
    Past,
    Record,
    Schedule,
    created,
    decide,
    declared,
    fires_at,
    input_at,
    looks_at,
    may_declare,
    needs_to_know,
    orphaned,
    settled,
)
from mousetrap.signing import SignatureRefused
from mousetrap.submit_run import Accepted, SubmitOptions

#: Schedules that are carried on together.
_BATCH = 100
#: Schedules that are read together at the start: about a megabyte.
_PAGE = 1_000
#: Runs of one schedule that are submitted before that is written.
_RUNS = 50
#: A schedule that cannot be read or recorded, or whose look fails by our own fault, is looked at again after so long.
_BROKEN_MS = 60_000
#: By so much the store's clock may go back without a look at all schedules.
_SET_BACK_MS = 1_000
#: What a run is refused for, however often it is submitted.
_REFUSALS = (ContractBroken, PayloadTooLarge, ValueError)
#: Why one schedule of code is not recorded, which concerns no other.
_NOT_RECORDED = (ScheduleTaken, SignatureRefused, TooManySchedules)
#: Where a schedule is from, in a sentence.
_MADE = {"code": "in a catalogue", "worker": "of a worker", "api": "made over HTTP"}
#: Schedules that workers declare, by the names of their pipelines; a pipeline without any is there, too.
Published = Mapping[str, Sequence[Schedule]]

_log = logging.getLogger("mousetrap.scheduler")


class Submits(Protocol):
    """What submits runs, as a Submitter does."""

    async def submit(
        self, pipeline: Pipeline, body: bytes, *, run_id: str, options: SubmitOptions
    ) -> Accepted:
        """Accepts a run under this id, or finds the first one of it."""
        ...


class Admits(Protocol):
    """What knows whether new runs are accepted, as an Intake does."""

    def check(self, pipeline: Pipeline, size: int) -> None:
        """Raises a MousetrapError where none is."""
        ...


class NoPipeline(MousetrapError):
    """The pipeline of a schedule is not known here: start a worker with it."""


class Scheduler:
    """Carries schedules on, beside the schedulers of other processes.

    1. The store gives the schedules that are due by its clock.
    2. For each the ticks are decided, and the decision is written: if no other scheduler has written since. What fires is owed then.
    3. The owed runs are submitted, each under an id that follows from schedule and tick, and that is written.

    Who dies between 2 and 3 leaves an owed run, which the next scheduler submits five seconds later; who dies before 2 leaves a tick
    that is due. No scheduler leads, and none needs a lease.
    """

    def __init__(
        self,
        schedules: Schedules,
        store: RunStore,
        submitter: Submits,
        pipelines: Mapping[str, Pipeline],
        *,
        intake: Admits,
        defaults: Mapping[str, bytes],
        declared: Sequence[Schedule] = (),
        published: Callable[[], Published] = dict,
        on_fired: Callable[[str, int], None] = lambda _, __: None,
    ) -> None:
        self._schedules = schedules
        self._store = store
        self._submitter = submitter
        self._pipelines = pipelines
        self._intake = intake
        self._defaults = defaults
        #: Those in code that are not in the store yet; None once they are.
        self._declared: Sequence[Schedule] | None = declared
        self._own = {schedule.name for schedule in declared}
        #: What workers declare now; and what of it is in the store.
        self._published = published
        self._recorded: Published = {}
        #: Those that could not be recorded, by name and pipeline, and when they are tried again, by the store's clock.
        self._refused: dict[tuple[str, str], tuple[Schedule, Origin]] = {}
        self._again_ms = 0
        #: The store's time of the last look.
        self._looked_ms = 0
        #: Is given each schedule that fired, and how late, in milliseconds.
        self._on_fired = on_fired

    async def look(self) -> None:
        """Carries on what is due, until nothing is. Raises StoreUnreachable."""
        if self._declared is not None:
            await self._declare(self._declared)
            self._declared = None
        if (published := self._published()) != self._recorded:
            await self._record(published)
            self._recorded = published
        while True:
            due = await self._schedules.due(_BATCH)
            await self._follow_clock(due.now_ms)
            for name, why in due.broken:
                _log.error("ignores a schedule: %s", why, extra={"schedule": name})
                await self._schedules.put_off(name, _BROKEN_MS)
            await asyncio.gather(*(self._carry(record, due.now_ms) for record in due.records))
            if len(due.records) + len(due.broken) < _BATCH:
                break
        await self._record_again(due.now_ms)

    async def carry_on(self, name: str) -> None:
        """Submits what a schedule owes, without waiting for the next look."""
        if (record := await self._schedules.get(name)) and record.owed:
            await self._submit(record, await self._schedules.now_ms())

    async def _declare(self, schedules: Sequence[Schedule]) -> None:
        """Records the schedules of the code, pauses those that were in it once, and looks at all as they are due by now."""
        for schedule in schedules:
            await self._declare_one(schedule, "code")
        known = {schedule.name for schedule in schedules}
        async for records in self._all():
            for record in records:
                if record.origin == "code" and not record.pause and record.name not in known:
                    await self._orphan(record.name)
            await self._hasten(records)

    async def _record(self, published: Published) -> None:
        """Pauses what a worker's pipeline has no more, and records the schedules of workers.

        One whose pipeline no worker has stays: its workers may be away, and its runs wait for them. One that has moved to
        another pipeline is paused first, and so may be declared by that one.
        """
        self._refused = {key: it for key, it in self._refused.items() if it[1] == "code"}
        schedules = [it for each in published.values() for it in each if it.name not in self._own]
        there = {(it.name, it.pipeline) for it in schedules}
        async for records in self._all():
            for record in records:
                pipeline = record.schedule.pipeline
                is_gone = pipeline in published and (record.name, pipeline) not in there
                if record.origin == "worker" and is_gone and not record.pause:
                    await self._orphan(record.name)
        for schedule in schedules:
            await self._declare_one(schedule, "worker")

    async def _record_again(self, now_ms: int) -> None:
        """Tries those again that could not be recorded: the name may be free by now, or there may be room."""
        if self._refused and now_ms >= self._again_ms:
            self._again_ms = now_ms + _BROKEN_MS
            for schedule, origin in list(self._refused.values()):
                await self._declare_one(schedule, origin)

    async def _all(self) -> AsyncIterator[Sequence[Record]]:
        names = await self._schedules.names()
        for place in range(0, len(names), _PAGE):
            yield await self._schedules.some(names[place : place + _PAGE])

    async def _orphan(self, name: str) -> None:
        _log.warning("pauses a schedule that is in code no more", extra={"schedule": name})
        await self._schedules.change(name, lambda it, now: orphaned(it, Change("code", now)))

    async def _follow_clock(self, now_ms: int) -> None:
        """Looks at all schedules where the store's clock was set back: what was to be done in seconds would wait until it has caught up."""
        if now_ms < self._looked_ms - _SET_BACK_MS:
            _log.warning("the store's clock was set back by %d s", (self._looked_ms - now_ms) // 1000)
            async for records in self._all():
                await self._hasten(records)
        self._looked_ms = now_ms

    async def _hasten(self, records: Sequence[Record]) -> None:
        """Looks at each as early as it is due by now: since its next look was written, its zone's rules may have changed, or the clock."""
        now_ms = await self._schedules.now_ms()
        looks = {it.name: now_ms + AGAIN_MS if it.owed else looks_at(it, now_ms) for it in records}
        await self._schedules.hasten({name: at_ms for name, at_ms in looks.items() if at_ms is not None})

    async def _declare_one(self, schedule: Schedule, origin: Origin) -> None:
        """Records one, or logs why not: it must not keep the others from firing, and is tried again in a minute."""
        key = (schedule.name, schedule.pipeline)
        try:
            await self._write(schedule, origin)
            self._refused.pop(key, None)
        except _NOT_RECORDED as error:
            if key not in self._refused:
                _log.warning("does not record a schedule: %s", error, extra={"schedule": schedule.name})
            self._refused[key] = (schedule, origin)

    async def _write(self, schedule: Schedule, origin: Origin) -> None:
        """Raises ScheduleTaken, SignatureRefused and TooManySchedules."""

        def act(record: Record, now_ms: int) -> Record:
            if not may_declare(record, schedule, origin):
                raise _taken(record, schedule)
            return declared(record, schedule, Change(origin, now_ms), origin)

        if await self._schedules.change(schedule.name, act) is None:
            try:
                await self._schedules.create(lambda now_ms: created(schedule, origin, Change(origin, now_ms)))
            except ScheduleTaken:  # another process was first, perhaps with another version of it
                await self._schedules.change(schedule.name, act)

    async def _carry(self, record: Record, now_ms: int) -> None:
        try:
            await self._decide(record, now_ms)
        except MousetrapError:
            raise
        except Exception:  # noqa: BLE001  one schedule must not keep the others from firing
            _log.exception("a schedule does not go on", extra={"schedule": record.name})
            await self._schedules.put_off(record.name, _BROKEN_MS)

    async def _decide(self, record: Record, now_ms: int) -> None:
        """Writes what becomes of ticks up to now, and submits what is owed, unless another scheduler was first."""
        last = needs_to_know(record)
        busy = bool(last) and await self._goes_on(last)
        decided = decide(record, now_ms, busy=busy)
        look_ms = now_ms + AGAIN_MS if decided.owed else looks_at(decided, now_ms)
        kept = await self._schedules.swap(record, decided, look_ms)
        if kept is not None and kept.owed:
            await self._submit(kept, now_ms)

    async def _goes_on(self, run_id: str) -> bool:
        run = await self._store.get(run_id)
        return run is not None and not run.state.ended

    async def _submit(self, record: Record, now_ms: int) -> None:
        """Submits what the schedule owes, some runs at a time. Where broker or store is away the rest stays owed."""
        left: Record | None = record
        while left and left.owed:
            past, waits = await self._fire_some(left, now_ms)
            left = await self._schedules.change(left.name, partial(_with_settled, past, waits))
            if waits:
                return

    async def _fire_some(self, record: Record, now_ms: int) -> tuple[Sequence[Past], str]:
        """What became of the first owed runs, and why no more of them were tried."""
        past: list[Past] = []
        for owed in record.owed[:_RUNS]:
            try:
                past.append(await self._fire(record, owed, now_ms))
            except MousetrapError as error:
                return past, error.outside()
        return past, ""

    async def _fire(self, record: Record, owed: Owed, now_ms: int) -> Past:
        """Submits one owed run. Raises MousetrapError where it is to be tried again."""
        schedule = record.schedule
        pipeline = self._pipelines.get(schedule.pipeline)
        if pipeline is None:
            raise NoPipeline(f"there is no pipeline {schedule.pipeline!r} here: start a worker with it")
        if owed.cancels:
            await self._store.cancel(owed.cancels)
        past = Past(tick_ms=owed.tick_ms, became="fired", at_ms=now_ms, cause=owed.cause, run_id=owed.run_id)
        try:
            body = input_at(schedule, owed.tick_ms, self._defaults.get(schedule.pipeline, b""))
            self._intake.check(pipeline, len(body))
            accepted = await self._submitter.submit(
                pipeline, body, run_id=owed.run_id, options=options_of(schedule)
            )
        except RunConflict:
            return past  # it was submitted before the schedule's input was changed
        except _REFUSALS as error:
            _log.error("a schedule's run is refused: %s", error, extra={"schedule": record.name})
            return replace(past, became="refused", why=str(error)[:300])
        return self._accepted(schedule, past, accepted)

    def _accepted(self, schedule: Schedule, past: Past, accepted: Accepted) -> Past:
        if past.cause == "backfill" and not accepted.new:
            return replace(past, became="skipped", why="its run is there")
        if accepted.new and past.cause == "tick":
            self._on_fired(schedule.name, max(0, past.at_ms - fires_at(schedule, past.tick_ms)))
        return past


def _taken(record: Record, schedule: Schedule) -> ScheduleTaken:
    return ScheduleTaken(
        f"pipeline {schedule.pipeline!r} of a worker has a schedule {schedule.name!r}, and there is one of this name for pipeline "
        f"{record.schedule.pipeline!r}, {_MADE[record.origin]}, which counts: rename one of the two, or remove that one"
    )


def _with_settled(past: Sequence[Past], waits: str, record: Record, _: int) -> Record:
    return replace(settled(record, past), waits=waits)


def options_of(schedule: Schedule) -> SubmitOptions:
    """How its runs are submitted: each has the schedule's name as a tag."""
    after: timedelta | None = schedule.expires_after
    return SubmitOptions(
        expires_in=after.total_seconds() if after else None,
        tags=(f"schedule:{schedule.name}", *schedule.tags),
        priority=schedule.priority,
    )
