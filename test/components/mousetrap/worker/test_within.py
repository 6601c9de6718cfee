"""Tests the time of a fan-out on a worker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Literal, cast

import msgspec
import pytest

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.jobs import Delivery, Done, GiveUp, Job, Message, first_job
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline
from mousetrap.run_store import Decided, FanLate, JobFilter, RunStore, StoredRun
from mousetrap.shapes import JobState, RunState
from mousetrap.telemetry import Observer
from mousetrap.worker import WorkerOptions, fan_out
from mousetrap.worker.attempts import Attempt
from mousetrap.worker.claims import Claims
from mousetrap.worker.endings import ANCHOR, Park, anchored
from mousetrap.worker.large_payloads import LargePayloads
from mousetrap.worker.outages import Outages
from support.papers import find, own_papers, stage
from support.workbench import KEYRING, TIMEOUT_S, Workbench, on_streams, workbench_for

pytestmark = pytest.mark.own_queues

SOON, LONG = timedelta(milliseconds=200), timedelta(hours=1)


def a_fan(within: timedelta = SOON, need: float = 0.5) -> Pipeline:
    return own_papers(
        stage("find", int, Many[int]),
        stage("read", int, int, Each("find")),
        stage("all", Gathered[int], list[Any], All("read", need=need, within=within)),
    )


def with_time(bench: Workbench, within: timedelta) -> Workbench:
    """The bench with a later version of its pipeline."""
    *stages, join = bench.pipeline.stages
    assert isinstance(join.after, All)
    later = replace(join, after=All("read", need=join.after.need, within=within))
    return replace(bench, pipeline=replace(bench.pipeline, stages=(*stages, later)))


async def read(number: int) -> int:
    return number


async def all_of(numbers: Gathered[int]) -> list[Any]:
    return [numbers.total, numbers.done, numbers.lost, [value async for _, value in numbers]]


def bound(bench: Workbench, **handlers: Any) -> list[Any]:
    return [bench.bind(name, handler) for name, handler in handlers.items()]


async def test_the_join_begins_with_what_is_done_when_the_time_is_over(
    queue_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others run to their end, which counts nothing."""
    monkeypatch.setattr(fan_out, "WINDOW", 6)
    decided, released = asyncio.Event(), asyncio.Event()

    async def finds(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number
        await decided.wait()  # the time begins only then

    async def reads(number: int) -> int:
        if number % 2:
            await released.wait()
        return number

    async with (
        workbench_for(a_fan(), queue_url, store_url) as bench,
        bench.working(*bound(bench, find=finds, read=reads, all=all_of), concurrency=8),
    ):
        run_id = await bench.submit(b"6")
        await seen(bench, run_id, lambda run: [fan.done for fan in run.fans] == [3])
        decided.set()
        run = await bench.ended(run_id)
        released.set()
        late = await seen(bench, run_id, lambda run: [it.kind for it in run.timeline].count("late") == 3)

    assert (run.state, run.result) == (RunState.COMPLETED, [6, 3, 3, [0, 2, 4]])
    assert [(fan.state, fan.done, fan.lost, fan.late) for fan in run.fans] == [("fired", 3, 3, 3)]
    assert (late.state, late.result) == (run.state, run.result)


async def seen(bench: Workbench, run_id: str, is_so: Callable[[StoredRun], bool]) -> StoredRun:
    """The run, once that is so."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            found = await bench.store.get(run_id)
            assert found is not None
            if is_so(found):
                return found


async def test_no_job_begins_after_that(queue_url: str, store_url: str) -> None:
    """No worker serves them until the join has begun; their messages are dropped then."""
    begun: list[int] = []

    async def reads(number: int) -> int:
        begun.append(number)
        return number

    async with workbench_for(a_fan(need=0.0), queue_url, store_url) as bench:
        async with bench.working(*bound(bench, find=find, all=all_of)):
            run = await bench.ended(await bench.submit(b"4"))
        page = await bench.store.jobs(run, bench.pipeline, JobFilter(stage="read"))
        async with bench.working(*bound(bench, find=find, read=reads)), asyncio.timeout(TIMEOUT_S):
            second = await bench.submit(b"0")  # behind them, so that they are gone when it has ended
            while await bench.queue.count_ready(bench.queue_of("read")):
                pass
        async with bench.working(*bound(bench, find=find, read=reads, all=all_of)):
            await bench.ended(second)

    assert (run.state, run.result) == (RunState.COMPLETED, [4, 0, 4, []])
    assert [line.state for line in page.jobs] == [JobState.OVER] * 4
    assert begun == []


async def test_too_few_in_time_fail_the_run_with_one_letter_whose_redrive_gives_the_time_again(
    queue_url: str, store_url: str
) -> None:
    async with workbench_for(a_fan(need=1.0), queue_url, store_url) as bench:
        run_id = await bench.submit(b"3")
        async with bench.working(*bound(bench, find=find)):
            failed = await bench.ended(run_id)
            letter = await bench.next_of(f"{bench.queue_of('find')}.dead")
        await bench.put_back(letter)
        longer = with_time(bench, LONG)
        async with longer.working(*bound(longer, find=find, read=read, all=all_of)):
            letters = DeadLetters(bench.queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})
            assert (await letters.redrive(Selection(), rate=1000, limit=1)).done == 1
            run = await bench.ended(run_id)

    assert (failed.state, failed.failure and failed.failure.kind) == (RunState.FAILED, "FanLate")
    assert letter.message.headers["mousetrap-reason"] == "fan-late"
    assert (run.state, run.result) == (RunState.COMPLETED, [3, 3, 0, [0, 1, 2]])


@on_streams
async def test_jobs_that_end_in_time_are_joined_at_once(queue_url: str, store_url: str) -> None:
    async with (
        workbench_for(a_fan(LONG, 1.0), queue_url, store_url) as bench,
        bench.working(*bound(bench, find=find, read=read, all=all_of)),
    ):
        run = await bench.ended(await bench.submit(b"3"))

    assert run.result == [3, 3, 0, [0, 1, 2]]


JOB = first_job(run_id="r", pipeline="p", stage="find", payload=b"3", accepted_ms=1)


@pytest.mark.parametrize(
    ("waits_s", "left_s", "pause_s"),
    [(0.0, None, 10.0), (0.0, 3.0, 3.0), (100.0, 3600.0, 25.0), (1e6, 30.0, 30.0), (5.0, 0.0, 0.01)],
)
def test_the_opener_looks_again_when_the_time_is_over(
    waits_s: float, left_s: float | None, pause_s: float
) -> None:
    assert anchored(JOB, 1, waits_s, left_s).after == pause_s


class Refuses:
    """A store that gives no opener up: what it waits for has come meanwhile, or its run has failed."""

    async def give_up_fan(self, job: Job, why: GiveUp, *, worker: str) -> Literal["stale"]:
        return "stale"


@pytest.mark.parametrize(
    "claim",
    [
        Decided(Done(msgspec.Raw(b"null"), children=2), 3, late=FanLate(total=2, done=0, lost=0)),
        Decided(Done(msgspec.Raw(b"2"), forks=("left", "right")), 3, waits_s=1e6),
    ],
    ids=["late", "stalled"],
)
async def test_the_message_of_an_opener_that_is_not_given_up_stays_an_anchor(claim: Decided) -> None:
    store, nothing = cast(RunStore, Refuses()), cast(LargePayloads, None)
    claims = Claims(store, WorkerOptions(name="w"), Outages(), Observer(), nothing)
    delivery = cast(Delivery, SimpleNamespace(message=Message("m", b"", {ANCHOR: "3"})))
    attempt = Attempt(JOB, "finds", None, None, [delivery])

    waits = await claims.give_up_fan(attempt, claim)

    assert isinstance(waits, Decided)
    assert claims.decided(attempt, waits) == Park(JOB, 10.0, anchor=3)
