"""One message stands for consecutive stages, with the promises of two."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from mousetrap.handlers import Context, chain, task
from mousetrap.jobs import Message, Queue, Settled, decode
from mousetrap.shapes import RunState
from support.workbench import TIMEOUT_S, Workbench, a_pipeline, add, double, on_streams, workbench_for

pytestmark = pytest.mark.own_queues


@asynccontextmanager
async def in_place(queue_url: str, store_url: str, **stage: Any) -> AsyncIterator[Workbench]:
    """A bench whose pipeline goes on in place, with a queue that notes what is published."""
    pipeline = replace(a_pipeline(**stage), in_place=True)
    async with workbench_for(pipeline, queue_url, store_url) as bench:
        yield replace(bench, queue=Noting(bench.queue))


class Noting:
    """A real queue that notes what is published to it."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.published: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        self.published.append((queue, decode(message.body).attempt))
        await self._queue.publish(queue, message, after=after)

    def post(self, queue: str, message: Message, settled: Settled) -> None:
        self.published.append((queue, decode(message.body).attempt))
        self._queue.post(queue, message, settled)


def published(bench: Workbench) -> list[tuple[str, int]]:
    """What was published: the queue without its mark, and the attempt."""
    assert isinstance(bench.queue, Noting)
    return [(queue.partition("_")[0], attempt) for queue, attempt in bench.queue.published]


async def test_one_message_takes_a_run_through_the_stages_of_one_worker(
    queue_url: str, store_url: str
) -> None:
    async with in_place(queue_url, store_url) as bench:
        async with bench.working(bench.bind("add", add), bench.bind("double", double)):
            runs = [await bench.ended(await bench.submit(b"%d" % number)) for number in range(5)]
        assert await bench.queue.count_ready(bench.queue_of("add")) == 0

    assert [run.result for run in runs] == [2, 4, 6, 8, 10]
    kinds = ["accepted", "started", "finished", "started", "completed"]
    assert [event.kind for event in runs[0].timeline][: len(kinds) - 1] == kinds[:-1]
    assert published(bench) == [("add", 1)] * 5


async def test_a_worker_that_serves_one_of_the_stages_publishes_the_next_job(
    queue_url: str, store_url: str
) -> None:
    async with (
        in_place(queue_url, store_url) as bench,
        bench.working(bench.bind("add", add)),
        bench.working(bench.bind("double", double)),
    ):
        run = await bench.ended(await bench.submit(b"20"))

    assert run.result == 42
    assert published(bench) == [("add", 1), ("double", 1)]


async def test_a_later_stage_that_fails_is_tried_again_from_its_own_queue(
    queue_url: str, store_url: str
) -> None:
    done: list[str] = []

    async def note(number: int) -> int:
        done.append("add")
        return number

    def flaky(number: int, context: Context[None]) -> int:
        done.append("double")
        if context.attempt < 3:
            raise ConnectionError("no")
        return number

    async with (
        in_place(queue_url, store_url) as bench,
        bench.working(bench.bind("add", note), bench.bind("double", flaky)),
    ):
        run = await bench.ended(await bench.submit(b"7"))

    assert (run.state, run.result) == (RunState.COMPLETED, 7)
    assert done == ["add", "double", "double", "double"]
    assert published(bench) == [("add", 1), ("double", 2), ("double", 3)]


async def test_a_later_stage_that_is_given_up_is_a_dead_letter_of_its_own_queue(
    queue_url: str, store_url: str
) -> None:
    async def fail(number: int) -> int:
        raise ZeroDivisionError("by zero")

    async with (
        in_place(queue_url, store_url) as bench,
        bench.working(bench.bind("add", add), bench.bind("double", fail)),
    ):
        run = await bench.ended(await bench.submit())
        letter = await bench.dead_letter("double")

    assert run.state is RunState.FAILED
    assert letter.headers["mousetrap-queue"] == bench.queue_of("double")
    assert decode(letter.body).stage == "double"


async def test_a_run_that_is_cancelled_between_its_stages_goes_no_further(
    queue_url: str, store_url: str
) -> None:
    done: list[str] = []

    async with in_place(queue_url, store_url) as bench:

        async def cancel(number: int, context: Context[None]) -> int:
            await bench.store.cancel(context.run_id)
            return number

        async def note(number: int) -> int:
            done.append("double")
            return number

        async with bench.working(bench.bind("add", cancel), bench.bind("double", note), burst=True):
            run = await bench.ended(await bench.submit())
        assert await bench.queue.count_ready(bench.queue_of("add")) == 0

    assert (run.state, done) == (RunState.CANCELLED, [])


async def test_a_worker_that_leaves_in_the_first_stage_publishes_the_next_job(
    queue_url: str, store_url: str
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait(number: int) -> int:
        begun.set()
        await asyncio.wait_for(go_on.wait(), TIMEOUT_S)
        return number

    async with in_place(queue_url, store_url) as bench:
        async with bench.working(bench.bind("add", wait), bench.bind("double", double)) as worker:
            run_id = await bench.submit(b"21")
            await asyncio.wait_for(begun.wait(), TIMEOUT_S)
            worker.stop.ask()
            await asyncio.sleep(0)
            go_on.set()
            assert await asyncio.wait_for(worker.task, TIMEOUT_S) is True
        assert published(bench) == [("add", 1), ("double", 1)]
        async with bench.working(bench.bind("add", add), bench.bind("double", double)):
            assert (await bench.ended(run_id)).result == 42


async def test_a_worker_that_is_forced_in_the_second_stage_repeats_only_that(
    queue_url: str, store_url: str
) -> None:
    done: list[str] = []
    begun = asyncio.Event()

    async def note(number: int) -> int:
        done.append("add")
        return number

    async def hold(number: int) -> int:
        begun.set()
        await asyncio.Event().wait()
        return number

    async with in_place(queue_url, store_url) as bench:
        async with bench.working(bench.bind("add", note), bench.bind("double", hold)) as worker:
            run_id = await bench.submit(b"21")
            await asyncio.wait_for(begun.wait(), TIMEOUT_S)
            worker.stop.ask()
            worker.stop.ask()
            assert await asyncio.wait_for(worker.task, TIMEOUT_S) is False
        async with bench.working(bench.bind("add", note), bench.bind("double", double)):
            run = await bench.ended(run_id)

    assert (run.result, done) == (42, ["add"])


@on_streams
async def test_an_output_that_the_store_would_drop_goes_through_the_queue(
    queue_url: str, store_url: str
) -> None:
    """Else the first message, delivered again, would find no outcome to go on with."""

    async def enlarge(number: Any) -> Any:
        return "x" * 65_000

    async def measure(text: Any) -> Any:
        return len(text)

    async with (
        in_place(queue_url, store_url, input=Any, output=Any) as bench,
        bench.working(bench.bind("add", enlarge), bench.bind("double", measure)),
    ):
        run = await bench.ended(await bench.submit())

    assert run.result == 65_000
    assert published(bench) == [("add", 1), ("double", 1)]


def test_a_chain_of_tasks_may_go_on_in_place() -> None:
    @task(name="first-of-two")
    def first(number: int) -> int:
        """Takes a number."""
        return number

    @task(name="second-of-two")
    def second(number: int) -> int:
        """Takes a number."""
        return number

    assert chain("both", first, second, in_place=True).pipeline.in_place
    assert not chain("both", first, second).pipeline.in_place
