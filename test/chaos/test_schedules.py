"""Tests that killed schedulers start each tick once."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from chaos.dying_schedulers import KEYRING, PIPELINE
from chaos.schedule_points import SchedulePoint
from mousetrap.handlers import Binding, Context
from mousetrap.scheduler import Schedules, open_schedules
from mousetrap.schedules import Change, Record, Schedule, created, paused, run_id_of_tick, ticks_between
from mousetrap.shapes import RunState
from support.inbox import eventually
from support.processes import Process, clean_environment
from support.workbench import workbench_for

pytestmark = pytest.mark.slow

NAMES = ("one", "two", "three")
OPS = Change("ops", 0)


@pytest.mark.test_timeout(300)
async def test_two_schedulers_are_killed_at_each_point_and_each_tick_starts_one_run(
    queue_url: str, store_url: str, tmp_path: Path
) -> None:
    async with open_schedules(store_url, keyring=KEYRING) as schedules:
        await _make(schedules)
        command = [sys.executable, "-m", "chaos.dying_schedulers", str(tmp_path), queue_url, store_url]
        environment = clean_environment(PYTHONPATH=":".join(sys.path))
        with Process([*command, *SchedulePoint], environment) as pairs:
            await asyncio.to_thread(pairs.wait_for_line, "two schedulers are up", 200)
            for point in SchedulePoint:
                assert pairs.output.count(f"trap sprung at {point}\n") == 2, pairs.output
                assert f"ended at {point}: {-signal.SIGKILL} {-signal.SIGKILL}\n" in pairs.output
            await eventually(lambda: _are_many(schedules), True)
            records = await _at_rest(schedules)
            assert pairs.terminate() == 0, pairs.output
    ids = [run_id for record in records for run_id in _ticks(record)]
    await _assert_each_is_done_once(queue_url, store_url, ids)


async def _make(schedules: Schedules) -> None:
    """Each with a tick a second, none of which may be left out."""
    for name in NAMES:
        schedule = Schedule(
            name, pipeline=PIPELINE.name, every=timedelta(seconds=1), input=1, missed="all", most=1000
        )
        await schedules.create(partial(_created, schedule))


def _created(schedule: Schedule, now_ms: int) -> Record:
    return created(schedule, "api", Change("ops", now_ms))


async def _are_many(schedules: Schedules) -> bool:
    """Whether two ticks for each point are decided: the last pair has much to catch up with, where each died before it could decide."""
    return sum(len(_ticks(record)) for record in await schedules.some(NAMES)) >= 2 * len(SchedulePoint)


async def _at_rest(schedules: Schedules) -> Sequence[Record]:
    """The schedules once they are paused, and owe nothing."""
    for name in NAMES:
        await schedules.change(name, lambda it, _: paused(it, OPS))

    async def owed() -> int:
        return sum(len(record.owed) for record in await schedules.some(NAMES))

    await eventually(owed, 0)
    return await schedules.some(NAMES)


def _ticks(record: Record) -> Sequence[str]:
    ticks = ticks_between(record.schedule, record.created_ms, record.decided_ms)
    return [run_id_of_tick(record.schedule, record.created_ms, tick) for tick in ticks]


async def _assert_each_is_done_once(queue_url: str, store_url: str, ids: Sequence[str]) -> None:
    begun: list[str] = []

    async def take(number: int, context: Context[None]) -> int:
        begun.append(context.run_id)
        return number

    binding = Binding(pipeline=PIPELINE, stage="take", handler=take)
    async with workbench_for(PIPELINE, queue_url, store_url) as bench, bench.working(binding):
        for run_id in ids:
            assert (await bench.ended(run_id)).state == RunState.COMPLETED
        await eventually(lambda: bench.queue.count_ready("ticking"), 0)
    assert sorted(begun) == sorted(ids)
