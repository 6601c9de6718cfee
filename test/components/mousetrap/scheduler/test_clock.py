"""Tests schedules on a store whose clock steps."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mousetrap.pipeline import Pipeline
from mousetrap.scheduler import Scheduler, Schedules, open_schedules, store
from mousetrap.schedules import Change, Record, Schedule, created
from mousetrap.submit_run import Accepted, SubmitOptions
from support.stepped_clock import HOUR, Clock, stepped
from support.valkey import OwnValkey
from support.workbench import KEYRING, Workbench, on_streams

pytestmark = on_streams
YEAR = 365 * 24 * HOUR


class Dead(BaseException):
    """The end of a scheduler's process."""


class Place:
    """Hourly ticks in a store with a clock of its own, and schedulers that write down what they submit."""

    def __init__(self, bench: Workbench, schedules: Schedules, clock: Clock) -> None:
        self.bench, self.schedules, self.clock = bench, schedules, clock
        self.submitted: list[str] = []
        self.dies = False
        self.scheduler = self.another()

    def another(self) -> Scheduler:
        pipelines = {self.bench.pipeline.name: self.bench.pipeline}
        return Scheduler(self.schedules, self.bench.store, self, pipelines, intake=self, defaults={})

    def check(self, pipeline: Pipeline, size: int) -> None:
        """Takes any number of runs."""

    async def submit(
        self, pipeline: Pipeline, body: bytes, *, run_id: str, options: SubmitOptions
    ) -> Accepted:
        if self.dies:
            raise Dead
        accepted = await self.bench.submitter.submit(pipeline, body, run_id=run_id, options=options)
        if accepted.new:
            self.submitted.append(run_id)
        return accepted

    async def make(self, **policy: Any) -> None:
        schedule = Schedule(
            "hourly", pipeline=self.bench.pipeline.name, every=timedelta(hours=1), input=1, **policy
        )
        await self.schedules.create(lambda now_ms: created(schedule, "api", Change("ops", now_ms)))

    async def after(self, *steps: float) -> Record:
        """The schedule, looked at after each of these steps of the clock."""
        for seconds in steps:
            self.clock.step(seconds)
            await self.scheduler.look()
        record = await self.schedules.get("hourly")
        assert record is not None
        return record


@asynccontextmanager
async def placed(bench: Workbench, clock: Clock) -> AsyncIterator[Place]:
    async with open_schedules(clock.url, keyring=KEYRING) as schedules:
        yield Place(bench, schedules, clock)


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    library = store._LIBRARY
    monkeypatch.setattr(store, "_LIBRARY", replace(library, source=stepped(library.source)))
    with OwnValkey(tmp_path) as server:
        yield Clock(server.url)


@pytest.mark.parametrize("missed", ["all", "once", "skip"])
async def test_when_the_clock_is_set_back_no_tick_runs_twice_and_none_is_lost(
    bench: Workbench, clock: Clock, missed: str
) -> None:
    async with placed(bench, clock) as place:
        await place.make(missed=missed)
        await place.after(HOUR, HOUR)
        assert len(place.submitted) == 2
        await place.after(-HOUR, HOUR / 2, HOUR / 2 - 1)
        assert len(place.submitted) == 2
        await place.after(1, HOUR, HOUR)
        assert len(place.submitted) == 4


async def test_what_a_dead_scheduler_owed_is_submitted_in_seconds_though_the_clock_is_set_back(
    bench: Workbench, clock: Clock
) -> None:
    async with placed(bench, clock) as place:
        await place.make()
        other = place.another()
        await other.look()
        place.dies = True
        with pytest.raises(Dead):
            await place.after(HOUR)
        place.dies, place.scheduler = False, other
        await other.look()
        record = await place.after(-HOUR, 6)
        assert place.submitted == [record.last_run] and record.owed == ()


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_clock_that_leapt_a_year_and_came_back_silences_no_schedule(
    bench: Workbench, clock: Clock, restarts: bool
) -> None:
    async with placed(bench, clock) as place:
        await place.make()
        await place.after(HOUR, YEAR)
        assert len(place.submitted) == 2
        clock.step(-YEAR)
        if restarts:
            place.scheduler = place.another()
        await place.scheduler.look()
        await place.after(1, HOUR, HOUR, HOUR)
        assert len(place.submitted) == 5
