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
from mousetrap.scheduler.store import AGAIN_MS, Schedules, ScheduleTaken
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
    needs_to_know,
    orphaned,
    settled,
)
from mousetrap.submit_run import Accepted, SubmitOptions

#: Schedules that are carried on together.
_BATCH = 100
#: Schedules that are read together at the start: about a megabyte.
_PAGE = 1_000
#: Runs of one schedule that are submitted before that is written.
_RUNS = 50
#: A schedule that cannot be read, or whose look fails by our own fault, is looked at again after so long.
_BROKEN_MS = 60_000
#: What a run is refused for, however often it is submitted.
_REFUSALS = (ContractBroken, PayloadTooLarge, ValueError)
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
            for name, why in due.broken:
                _log.error("ignores a schedule: %s", why, extra={"schedule": name})
                await self._schedules.put_off(name, _BROKEN_MS)
            await asyncio.gather(*(self._carry(record, due.now_ms) for record in due.records))
            if len(due.records) + len(due.broken) < _BATCH:
                return

    async def carry_on(self, name: str) -> None:
        """Submits what a schedule owes, without waiting for the next look."""
        if (record := await self._schedules.get(name)) and record.owed:
            await self._submit(record, await self._schedules.now_ms())

    async def _declare(self, schedules: Sequence[Schedule]) -> None:
        """Records the schedules of the code, pauses those that were in it once, and looks at all by the rules of their zones."""
        for schedule in schedules:
            await self._declare_one(schedule, "code")
        known = {schedule.name for schedule in schedules}
        async for records in self._all():
            for record in records:
                if record.origin == "code" and not record.pause and record.name not in known:
                    await self._orphan(record.name)
            await self._hasten(records)

    async def _record(self, published: Published) -> None:
        """Records the schedules of workers, and pauses those that a worker's pipeline has no more.

        One whose pipeline no worker has stays: its workers may be away, and its runs wait for them.
        """
        schedules = {name: it for name, it in _by_name(published).items() if name not in self._own}
        for schedule in schedules.values():
            await self._declare_one(schedule, "worker")
        async for records in self._all():
            for record in records:
                is_gone = record.schedule.pipeline in published and record.name not in schedules
                if record.origin == "worker" and is_gone and not record.pause:
                    await self._orphan(record.name)

    async def _all(self) -> AsyncIterator[Sequence[Record]]:
        names = await self._schedules.names()
        for place in range(0, len(names), _PAGE):
            yield await self._schedules.some(names[place : place + _PAGE])

    async def _orphan(self, name: str) -> None:
        _log.warning("pauses a schedule that is in code no more", extra={"schedule": name})
        await self._schedules.change(name, lambda it, now: orphaned(it, Change("code", now)))

    async def _hasten(self, records: Sequence[Record]) -> None:
        """Looks at each as early as its zone has it now: rules that were changed can have its next tick come before the next look."""
        now_ms = await self._schedules.now_ms()
        zoned = [it for it in records if it.schedule.tz != "UTC" and not it.owed]
        looks = {it.name: look_ms for it in zoned if (look_ms := looks_at(it, now_ms)) is not None}
        await self._schedules.hasten(looks)

    async def _declare_one(self, schedule: Schedule, origin: Origin) -> None:
        def act(record: Record, now_ms: int) -> Record:
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


def _by_name(published: Published) -> dict[str, Schedule]:
    """A name that two pipelines have is that of the first."""
    schedules: dict[str, Schedule] = {}
    for schedule in (it for each in published.values() for it in each):
        first = schedules.setdefault(schedule.name, schedule)
        if first is not schedule:
            _log.warning(
                "two pipelines have a schedule %s: %s, which counts, and %s",
                schedule.name,
                first.pipeline,
                schedule.pipeline,
            )
    return schedules


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
