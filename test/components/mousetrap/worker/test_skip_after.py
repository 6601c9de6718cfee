"""Tests stages that end their way when a job is given up."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from mousetrap.jobs import dead_queue, decode
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.run_store import StoredRun
from mousetrap.shapes import RunState
from support.workbench import Workbench, on_streams, workbench_for

pytestmark = pytest.mark.own_queues

ONCE = RetryPolicy(attempts=1)


class Both(msgspec.Struct):
    end: int | None
    right: int


class Stages:
    """Makes stages whose queues no other test uses."""

    def __init__(self) -> None:
        self.mark = uuid4().hex[:8]

    def __call__(self, name: str, takes: Any, gives: Any, after: Any = None, **more: Any) -> Stage:
        queue = f"{name}_{self.mark}"
        return Stage(name=name, queue=queue, input=takes, output=gives, after=after, retry=ONCE, **more)

    def pipeline(self, *stages: Stage, **more: Any) -> Pipeline:
        return Pipeline(name=f"ends_{self.mark}", description="Ends early.", stages=stages, **more)


async def find(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def read(number: int) -> int:
    """Fails for each third one, from the first on."""
    return 10 // (1 if number % 3 else 0) + number


async def plus_one(number: int) -> int:
    return number + 1


async def all_of(numbers: Gathered[int | None]) -> list[int | None]:
    return [value async for _, value in numbers]


async def both(given: Both) -> list[int | None]:
    return [given.end, given.right]


HANDLERS: dict[str, Callable[..., Any]] = {
    "find": find,
    "split": read,
    "read": read,
    "left": read,
    "end": plus_one,
    "right": plus_one,
    "all": all_of,
    "both": both,
}


def bound(bench: Workbench, *names: str) -> list[Any]:
    stages = [it for it in bench.pipeline.stages if not names or it.name in names]
    return [bench.bind(stage.name, HANDLERS[stage.name]) for stage in stages]


@asynccontextmanager
async def served(pipeline: Pipeline, queue_url: str, store_url: str) -> AsyncIterator[Workbench]:
    async with (
        workbench_for(pipeline, queue_url, store_url) as bench,
        bench.working(*bound(bench)),
    ):
        yield bench


def kinds(run: StoredRun) -> list[tuple[str, str]]:
    return [(event.stage or "", event.kind) for event in run.timeline]


def a_chain(**more: Any) -> Pipeline:
    stage = Stages()
    return stage.pipeline(stage("read", int, int, on_failure="skip_after"), stage("end", int, int), **more)


@pytest.mark.parametrize("in_place", [False, True])
async def test_a_chain_ends_completed_with_null_and_the_failure_in_its_timeline(
    queue_url: str, store_url: str, in_place: bool
) -> None:
    async with served(a_chain(in_place=in_place), queue_url, store_url) as bench:
        runs = [await bench.ended(await bench.submit(b"%d" % number)) for number in (3, 4)]
        assert await bench.queue.count_ready(dead_queue(bench.queue_of("read"))) == 0

    assert [(run.state, run.result) for run in runs] == [(RunState.COMPLETED, None), (RunState.COMPLETED, 15)]
    assert kinds(runs[0]) == [
        ("read", "accepted"),
        ("read", "started"),
        ("read", "gave_up"),
        ("", "completed"),
    ]
    failure = runs[0].timeline[2].failure
    assert failure is not None
    assert failure.kind == "ZeroDivisionError"
    assert "in read" in failure.traceback


async def test_an_item_s_way_ends_and_counts_as_done_with_null(queue_url: str, store_url: str) -> None:
    stage = Stages()
    pipeline = stage.pipeline(
        stage("find", int, Many[int]),
        stage("read", int, int, Each("find"), on_failure="skip_after"),
        stage("end", int, int),
        stage("all", Gathered[int | None], list[int | None], All("end")),
    )
    async with served(pipeline, queue_url, store_url) as bench:
        run = await bench.ended(await bench.submit(b"5"))
        assert await bench.queue.count_ready(dead_queue(bench.queue_of("read"))) == 0

    assert (run.state, run.result) == (RunState.COMPLETED, [None, 12, 13, None, 15])
    assert kinds(run).count(("read", "gave_up")) == 2


async def test_the_field_of_a_branch_that_ends_early_is_null(queue_url: str, store_url: str) -> None:
    async with served(a_fork(), queue_url, store_url) as bench:
        runs = [await bench.ended(await bench.submit(b"%d" % number)) for number in (1, 2)]

    # `split` gives 11 and 12, of which `left` fails for the second.
    assert [run.result for run in runs] == [[22, 12], [None, 13]]
    assert [run.state for run in runs] == [RunState.COMPLETED] * 2


def a_fork() -> Pipeline:
    stage = Stages()
    return stage.pipeline(
        stage("split", int, int, on_failure="skip_after"),
        stage("left", int, int, "split", on_failure="skip_after"),
        stage("end", int, int),
        stage("right", int, int, "split"),
        stage("both", Both, list[int | None], All("end", "right")),
    )


async def test_a_stage_that_forks_may_end_its_run(queue_url: str, store_url: str) -> None:
    async with served(a_fork(), queue_url, store_url) as bench:
        run = await bench.ended(await bench.submit(b"3"))

    assert (run.state, run.result) == (RunState.COMPLETED, None)
    assert {name for name, _ in kinds(run)} == {"", "split"}


@on_streams
async def test_a_message_that_comes_again_ends_the_way_once_more(queue_url: str, store_url: str) -> None:
    """Of the only child, whose worker died before it published the join; a worker without its stage publishes that too."""
    stage = Stages()
    pipeline = stage.pipeline(
        stage("find", int, Many[int]),
        stage("read", int, int, Each("find"), on_failure="skip_after"),
        stage("end", int, int),
        stage("all", Gathered[int | None], list[int | None], All("end")),
    )
    async with workbench_for(pipeline, queue_url, store_url) as bench:
        run_id = await bench.submit(b"1")
        async with bench.working(*bound(bench, "find")):
            delivery = await bench.next_of(bench.queue_of("read"))
        child = delivery.message
        delivery.hand_back()
        async with bench.working(*bound(bench, "read")):
            join = await bench.next_of(bench.queue_of("all"))
        join.acknowledge()  # as if it was never published
        await bench.queue.publish(bench.queue_of("read"), child)
        await bench.queue.publish(bench.queue_of("end"), child)
        async with bench.working(*bound(bench)):
            run = await bench.ended(run_id)
        assert await bench.queue.count_ready(dead_queue(bench.queue_of("end"))) == 0

    assert (run.state, run.result) == (RunState.COMPLETED, [None])
    assert decode(join.message.body).stage == "all"
