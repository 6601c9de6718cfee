"""Repeats runs with fan-outs and forks from their stages."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from mousetrap.blobs import Blob
from mousetrap.handlers import Context
from mousetrap.pipeline import (
    All,
    Each,
    Fallback,
    Fallen,
    Gathered,
    Many,
    Pipeline,
    Stage,
    manifest_of,
    pipeline_of,
)
from mousetrap.retry import RetryPolicy
from mousetrap.run_store import JobFilter, StoredRun
from mousetrap.run_store.keys import packed_run_key
from mousetrap.shapes import JobState, RunState
from mousetrap.submit_run import RerunImpossible
from support.valkey import console
from support.workbench import Workbench, on_streams, workbench_for

pytestmark = pytest.mark.own_queues

POLICY = RetryPolicy(attempts=1)


class Both(msgspec.Struct):
    """What two branches of one job give."""

    left: int
    right: int | None


class Calls:
    """Handlers that count their calls; `read` fails for the numbers in `broken`."""

    def __init__(self) -> None:
        self.count = Counter[str]()
        self.broken: set[int] = set()

    async def find(self, count: int) -> AsyncIterator[int]:
        self.count["find"] += 1
        for number in range(count):
            yield number

    async def read(self, number: int) -> int:
        self.count["read"] += 1
        if number in self.broken:
            raise ValueError(f"{number} is broken")
        return number * 10

    async def sum(self, numbers: Gathered[int]) -> int:
        self.count["sum"] += 1
        return sum([number async for _, number in numbers])

    async def left(self, number: int) -> int:
        return number + 1

    async def right(self, number: int) -> int:
        return number // (number - 30)

    async def meet(self, both: Both) -> str:
        self.count["meet"] += 1
        return f"{both.left} {both.right}"


def a_graph() -> Pipeline:
    """find -> read each -> sum -> left and right -> meet."""
    mark = uuid4().hex[:8]

    def stage(name: str, takes: Any, gives: Any, **more: Any) -> Stage:
        return Stage(name=name, queue=f"{name}_{mark}", input=takes, output=gives, retry=POLICY, **more)

    return Pipeline(
        name=f"graph_{mark}",
        description="Fans out, and forks.",
        stages=(
            stage("find", int, Many[int]),
            stage("read", int, int, after=Each("find")),
            stage("sum", Gathered[int], int, after=All("read", need=0.5)),
            stage("left", int, int, after="sum"),
            stage("right", int, int, after="sum", on_failure="skip"),
            stage("meet", Both, str, after=All("left", "right")),
        ),
    )


@asynccontextmanager
async def served(queue_url: str, store_url: str, calls: Calls) -> AsyncIterator[Workbench]:
    async with workbench_for(a_graph(), queue_url, store_url) as bench:
        bound = [bench.bind(stage.name, getattr(calls, stage.name)) for stage in bench.pipeline.stages]
        async with bench.working(*bound):
            yield bench


async def finished(bench: Workbench, body: bytes = b"4") -> StoredRun:
    return await bench.ended(await bench.submit(body))


async def repeated(bench: Workbench, run: StoredRun, **how: Any) -> StoredRun:
    run_id = uuid4().hex
    await bench.submitter.rerun(run, run_id=run_id, **how)
    return await bench.ended(run_id)


async def test_a_run_is_repeated_from_its_opener_and_from_its_joins(queue_url: str, store_url: str) -> None:
    calls = Calls()
    async with served(queue_url, store_url, calls) as bench:
        first = await finished(bench)
        from_sum = await repeated(bench, first, begin="sum")
        once_more = await repeated(bench, from_sum, begin="sum")
        from_meet = await repeated(bench, first, begin="meet")
        assert (calls.count["find"], calls.count["read"]) == (1, 4)
        whole = await repeated(bench, first, begin="find")

    runs = (first, from_sum, once_more, from_meet, whole)
    assert [(run.state, run.result) for run in runs] == [(RunState.COMPLETED, "61 2")] * 5
    assert calls.count == {"find": 2, "read": 8, "sum": 4, "meet": 5}


@on_streams
async def test_a_join_is_repeated_on_what_is_done_and_a_skipped_branch_is_null(
    queue_url: str, store_url: str
) -> None:
    calls = Calls()
    calls.broken = {3}
    async with served(queue_url, store_url, calls) as bench:
        first = await finished(bench)
        again = await repeated(bench, first, begin="sum")
        from_meet = await repeated(bench, first, begin="meet")

    assert [run.result for run in (first, again, from_meet)] == ["31 None"] * 3


@on_streams
async def test_a_stage_behind_the_joins_gets_what_they_gave(queue_url: str, store_url: str) -> None:
    async with served(queue_url, store_url, Calls()) as bench:
        first = await finished(bench)
        job = await bench.submitter.job_of(first, "sum")

    assert msgspec.json.decode(job.payload)["total"] == 4


@pytest.mark.parametrize(
    ("how", "why"),
    [
        (
            {"begin": "read"},
            "no single job of stage 'read' to begin with, for 'find' opens several: begin at 'find'",
        ),
        ({"begin": "read", "body": b"1"}, "no single job of stage 'read'"),
        ({"begin": "left"}, "no single job of stage 'left' to begin with, for 'sum' opens several"),
        (
            {"begin": "sum", "body": b'{"total":1,"done":1,"lost":0,"fan":"other/job"}'},
            "stage 'sum' takes the outputs of a fan-out, which are in the store: leave out the input",
        ),
    ],
)
@on_streams
async def test_what_has_no_sense_is_refused_with_the_way_out(
    queue_url: str, store_url: str, how: dict[str, Any], why: str
) -> None:
    async with served(queue_url, store_url, Calls()) as bench:
        first = await finished(bench)
        with pytest.raises(RerunImpossible, match=why):
            await repeated(bench, first, **how)


@on_streams
async def test_a_join_that_cannot_begin_is_not_repeated_and_the_children_are_named(
    queue_url: str, store_url: str
) -> None:
    calls = Calls()
    calls.broken = {1, 2, 3}
    async with served(queue_url, store_url, calls) as bench:
        run = await finished(bench)
        with pytest.raises(RerunImpossible, match=r"of the 4 jobs that 'find' opened 3 were given up.*--run"):
            await repeated(bench, run, begin="sum")
        with pytest.raises(
            RerunImpossible, match="failed as 3 of the jobs that stage 'find' opened were given up"
        ):
            await repeated(bench, run, begin="failed")
        calls.broken = set()
        again = await repeated(bench, run, begin="find")
        failed = await bench.store.jobs(run, bench.pipeline, JobFilter(state=JobState.FAILED))

    assert (run.state, again.result) == (RunState.FAILED, "61 2")
    assert [job.index for job in failed.jobs] == [(1,), (2,), (3,)]


@on_streams
async def test_children_that_wait_keep_the_join_from_being_repeated(queue_url: str, store_url: str) -> None:
    async with workbench_for(a_graph(), queue_url, store_url) as bench:
        async with bench.working(bench.bind("find", Calls().find)):
            run_id = await bench.submit(b"4")
            await bench.until(run_id, "closed")
        run = await bench.store.get(run_id)
        assert run is not None
        with pytest.raises(RerunImpossible, match="of the 4 jobs that 'find' opened 4 have not ended: wait"):
            await repeated(bench, run, begin="sum")


class Page(msgspec.Struct):
    """A page as a file."""

    text: Blob


@on_streams
async def test_outputs_with_blobs_are_their_own_runs(queue_url: str, store_url: str) -> None:
    mark = uuid4().hex[:8]
    pipeline = Pipeline(
        name=f"blobs_{mark}",
        description="Makes files, and counts them.",
        stages=(
            Stage(name="find", queue=f"find_{mark}", input=int, output=Many[int]),
            Stage(name="make", queue=f"make_{mark}", input=int, output=Page, after=Each("find")),
            Stage(name="sum", queue=f"sum_{mark}", input=Gathered[Page], output=int, after=All("make")),
        ),
    )

    async def make(number: int, context: Context[None]) -> Page:
        async with context.new_blob() as file:
            await file.write(b"page")
        return Page(file.blob)

    async def count(pages: Gathered[Page]) -> int:
        return len([page async for _, page in pages])

    async with workbench_for(pipeline, queue_url, store_url) as bench:
        handlers: dict[str, Any] = {"find": Calls().find, "make": make, "sum": count}
        async with bench.working(*(bench.bind(name, handler) for name, handler in handlers.items())):
            run = await finished(bench)
            with pytest.raises(RerunImpossible, match=f"have blobs, which belong to run {run.id}: begin at"):
                await repeated(bench, run, begin="sum")
    assert run.result == 4


@on_streams
async def test_of_a_pipeline_known_from_workers_a_joins_input_is_refused_too(
    queue_url: str, store_url: str
) -> None:
    async with served(queue_url, store_url, Calls()) as bench:
        first = await finished(bench)
        known = replace(bench, pipeline=pipeline_of(manifest_of(bench.pipeline)))
        with pytest.raises(RerunImpossible, match="leave out the input"):
            await repeated(known, first, begin="sum", body=b'{"total":1,"done":1,"lost":0,"fan":"other/job"}')
        again = await repeated(known, first, begin="sum")

    assert again.result == first.result


@on_streams
async def test_a_fallback_of_a_join_is_repeated_from_the_join_alone(queue_url: str, store_url: str) -> None:
    mark = uuid4().hex[:8]

    def stage(name: str, takes: Any, gives: Any, **more: Any) -> Stage:
        return Stage(name=name, queue=f"{name}_{mark}", input=takes, output=gives, retry=POLICY, **more)

    pipeline = Pipeline(
        name=f"fallback_{mark}",
        description="Falls back from a join.",
        stages=(
            stage("find", int, Many[int]),
            stage("read", int, int, after=Each("find")),
            stage("sum", Gathered[int], int, after=All("read"), on_failure=Fallback("regret")),
            stage("regret", Fallen[Gathered[int]], int),
        ),
    )

    async def broken(numbers: Gathered[int]) -> int:
        raise ValueError("no")

    async def regret(fallen: Fallen[Gathered[int]]) -> int:
        return sum([number async for _, number in fallen.input])

    calls = Calls()
    handlers: dict[str, Any] = {"find": calls.find, "read": calls.read, "sum": broken, "regret": regret}
    async with (
        workbench_for(pipeline, queue_url, store_url) as bench,
        bench.working(*(bench.bind(name, handler) for name, handler in handlers.items())),
    ):
        run = await finished(bench)
        with pytest.raises(RerunImpossible, match=f"names outputs of run {run.id}: begin at 'sum'"):
            await repeated(bench, run, begin="regret")
        again = await repeated(bench, run, begin="sum")

    assert (run.result, again.result) == (60, 60)


@on_streams
async def test_a_join_whose_outputs_are_forgotten_meanwhile_is_given_up_and_sums_nothing(
    queue_url: str, store_url: str
) -> None:
    calls = Calls()
    async with served(queue_url, store_url, calls) as bench:
        first = await finished(bench)
    async with workbench_for(bench.pipeline, queue_url, store_url) as idle:
        await idle.submitter.rerun(first, run_id="again", begin="sum")
    with console(store_url) as client:
        client.delete(packed_run_key(first.id))
    async with (
        workbench_for(bench.pipeline, queue_url, store_url) as late,
        late.working(late.bind("sum", calls.sum)),
    ):
        again = await late.ended("again")

    assert again.state is RunState.FAILED
    assert again.failure is not None
    assert "has lost all outputs" in again.failure.text


@on_streams
async def test_a_join_of_nothing_reads_nothing(queue_url: str, store_url: str) -> None:
    async with served(queue_url, store_url, Calls()) as bench:
        first = await finished(bench, b"0")
        again = await repeated(bench, first, begin="sum")

    assert (first.result, again.result) == ("1 0", "1 0")
