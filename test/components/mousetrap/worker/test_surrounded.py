"""Surrounded and yielding handlers in a worker, on both queues."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mousetrap.handlers import Context, Next, Result
from mousetrap.jobs import decode
from mousetrap.run_store import StoredRun
from mousetrap.shapes import Event, RunState
from support.workbench import TIMEOUT_S, Workbench, add, double, on_streams

pytestmark = pytest.mark.own_queues


def yielded(run: StoredRun) -> list[tuple[Any, ...]]:
    """Stage, attempt and value of each yielded value."""
    return [(event.stage, event.attempt, event.value) for event in run.timeline if event.kind == "yielded"]


def counts(number: int, context: Context[Any]) -> Generator[Any, None, int]:
    for each in range(3):
        yield {"n": each}
        if context.attempt == 1 and each == 1:
            raise ConnectionError("half-way")
    return number + 1


async def counts_later(number: int, context: Context[Any]) -> AsyncIterator[Any]:
    for each in counts(number, context):
        yield each
    yield Result(number + 1)


@pytest.mark.parametrize("handler", [counts, counts_later])
async def test_a_generator_that_raises_half_way_keeps_its_values_and_the_retry_s_carry_its_number(
    bench: Workbench, handler: Callable[..., Any]
) -> None:
    seen: list[Any] = []

    async with bench.working(bench.bind("add", handler), bench.bind("double", double)):
        run_id = await bench.submit(b"1")
        async for event in bench.store.watch(run_id):
            if isinstance(event, Event) and event.kind == "yielded":
                seen.append(event.value)
        run = await bench.ended(run_id)

    assert (run.state, run.result) == (RunState.COMPLETED, 4)
    first = [("add", 1, {"n": 0}), ("add", 1, {"n": 1})]
    assert yielded(run) == [*first, *(("add", 2, {"n": each}) for each in range(3))]
    assert seen == [value for _, _, value in yielded(run)]
    kinds = [event.kind for event in run.timeline if event.stage == "add"]
    assert kinds == [
        "accepted",
        "started",
        "yielded",
        "yielded",
        "retrying",
        "started",
        *["yielded"] * 3,
        "finished",
    ]


async def test_what_is_yielded_after_the_run_was_cancelled_is_no_event(bench: Workbench) -> None:
    go_on, ended = asyncio.Event(), asyncio.Event()

    async def slow(number: int) -> AsyncIterator[Any]:
        try:
            yield "early"
            await go_on.wait()
            yield "late"
            yield Result(number)
        finally:
            ended.set()

    async with bench.working(bench.bind("add", slow), bench.bind("double", double), lease=100.0):
        run_id = await bench.submit(b"1")
        await bench.until(run_id, "yielded")
        await bench.store.cancel(run_id)
        go_on.set()
        await asyncio.wait_for(ended.wait(), TIMEOUT_S)
        run = await bench.ended(run_id)

    assert run.state == RunState.CANCELLED
    assert yielded(run) == [("add", 1, "early")]


@on_streams
async def test_a_cancelled_run_closes_a_sync_generator(bench: Workbench) -> None:
    closed = threading.Event()

    def endless(number: int, context: Context[Any]) -> Iterator[Any]:
        try:
            while True:
                yield 1
                context.stopped.wait(0.01)
        finally:
            closed.set()

    async with bench.working(bench.bind("add", endless)):
        run_id = await bench.submit(b"1")
        await bench.until(run_id, "yielded")
        await bench.store.cancel(run_id)
        run = await bench.ended(run_id)
        await asyncio.to_thread(closed.wait, TIMEOUT_S)

    assert run.state == RunState.CANCELLED
    assert closed.is_set()


async def test_middleware_that_raises_is_retried_and_given_up_as_the_handler_s_error(
    bench: Workbench,
) -> None:
    failures: list[tuple[int, str, str]] = []

    async def refuse(context: Context[Any], payload: Any, call_next: Next) -> Any:
        raise ConnectionError("no entry")

    async def note(context: Context[Any], error: BaseException, outcome: Any) -> None:
        failures.append((context.attempt, str(error), type(outcome).__name__))

    async with bench.working(bench.bind("add", add, middleware=[refuse], on_error=note)):
        run = await bench.ended(await bench.submit(b"1"))
        letter = await bench.dead_letter("add")

    assert run.state == RunState.FAILED
    assert run.failure is not None
    assert "in refuse" in run.failure.traceback
    assert letter.headers["mousetrap-reason"] == "max-retries"
    assert decode(letter.body).attempt == 3
    assert failures == [
        (1, "no entry", "RetryLater"),
        (2, "no entry", "RetryLater"),
        (3, "no entry", "GiveUp"),
    ]


@on_streams
async def test_a_lifespan_that_bindings_share_is_entered_once_with_deps_for_all(bench: Workbench) -> None:
    entered: list[str] = []

    @asynccontextmanager
    async def shared() -> AsyncIterator[list[str]]:
        entered.append("in")
        yield entered
        entered.append("out")

    async def note(number: int, context: Context[list[str]]) -> int:
        context.deps.append(context.stage)
        return number

    bindings = [bench.bind(stage, note, lifespan=shared) for stage in ("add", "double")]
    async with bench.working(*bindings):
        assert (await bench.ended(await bench.submit(b"5"))).result == 5

    assert entered == ["in", "add", "double", "out"]
