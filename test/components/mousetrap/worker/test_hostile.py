"""Any error of a handler is one failed attempt; its runner continues."""

import asyncio
import contextvars
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from mousetrap.handlers import Binding, Context
from mousetrap.retry import RetryPolicy
from mousetrap.shapes import RunState
from mousetrap.worker import WorkerStats
from support import hostile_handlers as hostile
from support.workbench import TIMEOUT_S, Workbench, a_pipeline, on_streams, workbench

pytestmark = pytest.mark.own_queues

_QUICK = RetryPolicy(attempts=2, base=0.001, cap=0.001)
_with_text = pytest.mark.stages(input=str, output=str, retry=_QUICK)


def echo(text: str) -> str:
    """A good handler."""
    return text


@pytest.mark.parametrize("handler", [hostile.fail, hostile.fail_later])
@_with_text
async def test_whatever_is_raised_is_a_failed_attempt_and_the_runners_live(
    bench: Workbench, handler: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    def mixed(kind: str) -> Any:
        return echo(kind) if kind == "good" else handler(kind)

    async def mixed_later(kind: str) -> Any:
        return echo(kind) if kind == "good" else await handler(kind)

    chosen = mixed_later if asyncio.iscoroutinefunction(handler) else mixed
    async with bench.working(bench.bind("add", chosen), bench.bind("double", echo), concurrency=2):
        bad = {kind: await bench.submit(json.dumps(kind).encode()) for kind in hostile.ERRORS}
        for kind, run_id in bad.items():
            run = await bench.ended(run_id)
            assert run.state == RunState.FAILED, kind
            assert [event.kind for event in run.timeline].count("started") == 2, kind
            assert run.failure is not None
            assert run.failure.kind, kind
        for _ in bad:
            letter = await bench.dead_letter("add")
            assert letter.headers["mousetrap-reason"] == "max-retries"
            assert letter.headers["mousetrap-error-type"]
        good = [await bench.ended(await bench.submit(b'"good"')) for _ in range(4)]
        assert {run.state for run in good} == {RunState.COMPLETED}

    assert "could not handle" not in caplog.text
    assert "a runner ended" not in caplog.text


@pytest.mark.parametrize("handler", hostile.CANCELLED)
@_with_text
async def test_a_cancellation_that_is_not_ours_is_a_failed_attempt(
    bench: Workbench, handler: Callable[[str], Any]
) -> None:
    async with bench.working(bench.bind("add", handler), bench.bind("double", echo), concurrency=1):
        runs = [await bench.ended(await bench.submit(b'"x"')) for _ in range(2)]

    assert [run.state for run in runs] == [RunState.FAILED] * 2
    assert [[event.kind for event in run.timeline].count("started") for run in runs] == [2, 2]


@pytest.mark.parametrize("soft_timeout", [None, 60.0])
async def test_no_attempt_sees_what_another_one_set_in_its_context(
    queue_url: str, store_url: str, soft_timeout: float | None
) -> None:
    shared: contextvars.ContextVar[str] = contextvars.ContextVar("shared", default="nothing")

    def sync(number: int) -> str:
        seen = shared.get()
        shared.set(f"what {number} set")
        return seen

    async def later(seen: str) -> str:
        seen += ", " + shared.get()
        shared.set(f"what came after {seen}")
        return seen

    async with workbench(queue_url, store_url, input=Any, output=Any, soft_timeout=soft_timeout) as bench:
        async with bench.working(bench.bind("add", sync), bench.bind("double", later), concurrency=1):
            results = [(await bench.ended(await bench.submit())).result for _ in range(3)]
        assert results == ["nothing, nothing"] * 3


@_with_text
async def test_a_runner_that_ends_is_replaced_and_logged(
    bench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    """A runner is cancelled by code that cancels all the tasks it can find, but for those it knows."""
    caplog.set_level(logging.ERROR)
    stats = WorkerStats()
    async with bench.working(bench.bind("add", echo), bench.bind("double", echo), concurrency=2, stats=stats):
        await bench.ended(await bench.submit(b'"first"'))
        runners = [task for task in asyncio.all_tasks() if "_Worker._run" in repr(task.get_coro())]
        assert len(runners) == 2
        for runner in runners:
            runner.cancel()
        await asyncio.wait(runners)
        run = await bench.ended(await bench.submit(b'"second"'))
        assert stats.missing() == 0

    assert run.state == RunState.COMPLETED
    assert caplog.text.count("a runner ended, another one takes its place") == 2
    assert "CancelledError" in caplog.text


@pytest.mark.parametrize(
    "handler",
    [
        hostile.yields,
        hostile.yields_later,
        partial(hostile.yields),
        hostile.Yields(),
        partial(hostile.Yields()),
        hostile.Yields().__call__,
    ],
)
def test_a_generator_is_known_as_such_in_any_wrapping(handler: Callable[..., Any]) -> None:
    assert Binding(pipeline=a_pipeline(), stage="add", handler=handler).is_generator


@pytest.mark.parametrize("handler", [hostile.Later(), partial(hostile.Later()), partial(hostile.fail_later)])
def test_an_async_handler_is_known_as_such_in_any_wrapping(handler: Callable[..., Any]) -> None:
    assert Binding(pipeline=a_pipeline(), stage="add", handler=handler).is_async


@pytest.mark.parametrize(
    ("handler", "why"),
    [(hostile.gives_coroutine, "returned a coroutine"), (lambda kind: hostile.yields(kind), "a generator")],
)
@_with_text
async def test_a_handler_that_returns_what_is_still_to_be_run_gets_advice(
    bench: Workbench, handler: Callable[..., Any], why: str
) -> None:
    async with bench.working(bench.bind("add", handler)):
        run = await bench.ended(await bench.submit(b'"x"'))

    assert run.failure is not None
    assert why in run.failure.text


@_with_text
async def test_progress_that_could_not_be_read_is_the_failure_of_the_attempt(bench: Workbench) -> None:
    def report(text: str, context: Context[None]) -> str:
        context.progress(float(text))
        return text

    async with bench.working(bench.bind("add", report), bench.bind("double", echo)):
        bad = await bench.ended(await bench.submit(b'"nan"'))
        page = await bench.store.page()

    assert bad.failure is not None
    assert bad.failure.text == "progress: done is nan: give a finite number"
    assert bad.id in [run.id for run in page.runs]


@_with_text
async def test_a_worker_whose_name_cannot_be_encoded_works_under_one_that_can(bench: Workbench) -> None:
    async with bench.working(
        bench.bind("add", echo), bench.bind("double", hostile.fail), name="host\udcff-1"
    ):
        run = await bench.ended(await bench.submit(b'"panic"'))
        letter = await bench.dead_letter("double")

    assert {event.worker for event in run.timeline if event.worker} == {"host\\udcff-1"}
    assert letter.headers["mousetrap-worker"] == "host\\udcff-1"


@pytest.mark.parametrize("kind", ["cancelled", "panic", "generator-exit", "group"])
@_with_text
@on_streams
async def test_a_lifespan_that_raises_what_is_no_ordinary_error_ends_the_worker_with_its_reason(
    bench: Workbench, kind: str
) -> None:
    @asynccontextmanager
    async def failing() -> AsyncIterator[None]:
        await hostile.fail_later(kind)
        yield

    with pytest.raises(RuntimeError, match="the lifespan of stage 'add' raised"):
        async with bench.working(bench.bind("add", echo, lifespan=failing)) as worker:
            await asyncio.wait_for(worker.task, TIMEOUT_S)
