"""Handlers in the worker's process: their outcomes, timeouts and cancellations."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import msgspec
import pytest

from mousetrap.handlers import Binding, BoundHandler, Context, HandlerHost, HungHandlers, SoftTimeout, bound
from mousetrap.jobs import Done, GiveUp, Outcome, RetryLater, first_job
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.shapes import Progress
from support.waiting import until

JOB = first_job(run_id="r", pipeline="sums", stage="add", payload=b"1", accepted_ms=1)


class Host:
    """Binds handlers, and keeps what they report and leave behind."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self.hung = HungHandlers()
        self.reports: list[tuple[str, Progress]] = []
        self._host = HandlerHost(
            threads=threads, hung=self.hung, worker="w", report=self._keep, chance=lambda: 0.5
        )

    async def _keep(self, run_id: str, progress: Progress) -> None:
        self.reports.append((run_id, progress))

    def bind(self, handler: Callable[..., Any], deps: Any = None, **stage: Any) -> BoundHandler:
        chosen: dict[str, Any] = {"queue": "add", "input": int, "output": Any, **stage}
        stages = (Stage(name="add", **chosen),)
        pipeline = Pipeline(name="sums", description="One stage.", stages=stages)
        return bound(Binding(pipeline=pipeline, stage="add", handler=handler), deps, self._host)


@pytest.fixture
def host() -> Iterator[Host]:
    with ThreadPoolExecutor(2) as threads:
        yield Host(threads)


def facts(number: int, context: Context[str]) -> dict[str, Any]:
    assert context.deadline is not None
    return {
        "number": number,
        "deps": context.deps,
        "key": context.idempotency_key,
        "fences": [context.fence, context.lock_fence],
        "left": round(context.deadline - time.monotonic()),
        "left softly": round((context.soft_deadline or 0) - time.monotonic()),
        "where": [context.queue, context.worker],
        "limits": [context.max_attempts, context.timeout, context.expires_ms],
        "cancelled": context.cancelled,
    }


async def facts_later(number: int, context: Context[str]) -> dict[str, Any]:
    return facts(number, context)


@pytest.mark.parametrize("handler", [facts, facts_later])
async def test_a_handler_gets_its_input_and_its_context(handler: Callable[..., Any], host: Host) -> None:
    stage: dict[str, Any] = {
        "queue": "sums",
        "timeout": 100.0,
        "soft_timeout": 50.0,
        "retry": RetryPolicy(attempts=4),
    }
    job = msgspec.structs.replace(JOB, expires_ms=2)
    outcome = await host.bind(handler, "a client", **stage).run(job, fence=7, lock_fence=8)

    assert isinstance(outcome, Done)
    seen = value(outcome)
    assert 50 < seen.pop("left") <= 100 and 0 < seen.pop("left softly") <= 50
    assert seen == {
        "number": 1,
        "deps": "a client",
        "key": JOB.id,
        "fences": [7, 8],
        "where": ["sums", "w"],
        "limits": [4, 100.0, 2],
        "cancelled": False,
    }


async def test_few_frames_are_above_a_handler(host: Host) -> None:
    async def later(number: int) -> list[str]:
        return own_frames()

    assert value(await host.bind(later).run(JOB, fence=1)) == ["call_async"]
    assert value(await host.bind(lambda number: own_frames()).run(JOB, fence=1)) == ["call", "_run", "run"]


def own_frames() -> list[str]:
    """The functions of ours above this one's caller, the nearest first."""
    frame, names = sys._getframe(2), []
    while frame is not None:
        if frame.f_globals["__name__"].startswith("mousetrap."):
            names.append(frame.f_code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return names


async def test_an_input_outside_the_contract_calls_no_handler(host: Host) -> None:
    called: list[Any] = []

    for handler in (called.append, _appending(called)):
        outcome = await host.bind(handler, input=str).run(JOB, fence=1)
        assert isinstance(outcome, GiveUp)
        assert outcome.reason == "contract"
        assert "the input of stage 'add'" in outcome.failure.text
    assert called == []


def _appending(called: list[Any]) -> Callable[..., Any]:
    async def append(value: Any) -> None:
        called.append(value)

    return append


async def test_progress_reaches_the_report_of_the_run(host: Host) -> None:
    async def advance(number: int, context: Context[None]) -> None:
        context.progress(1, 2, "half")

    await host.bind(advance).run(JOB, fence=1)

    await asyncio.to_thread(until, lambda: host.reports, "the report is kept")
    assert host.reports == [("r", Progress(stage="add", done=1, total=2, note="half"))]


async def test_an_async_handler_is_cancelled_at_its_timeout(host: Host) -> None:
    contexts: list[Context[None]] = []

    async def sleep(number: int, context: Context[None]) -> None:
        contexts.append(context)
        await asyncio.Event().wait()

    outcome = await host.bind(sleep, timeout=0.01).run(JOB, fence=1)

    assert isinstance(outcome, RetryLater)
    assert outcome.failure.text == "the attempt took longer than its 0.01 s"
    assert contexts[0].cancelled
    assert host.hung.list() == []


async def test_an_async_handler_that_ignores_its_cancellation_counts_as_hung_until_it_ends(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.handlers.local_handlers.CLEANUP_S", 0.01)
    end = asyncio.Event()

    async def ignore(number: int) -> None:
        while not end.is_set():
            with suppress(asyncio.CancelledError):
                await end.wait()

    outcome = await host.bind(ignore, timeout=0.01).run(JOB, fence=1)

    assert isinstance(outcome, RetryLater)
    [hung] = host.hung.list()
    assert (hung.run_id, hung.stage, hung.attempt) == ("r", "add", 1)
    assert hung.task is not None
    end.set()
    await hung.task
    await asyncio.to_thread(until, lambda: host.hung.list() == [], "it has ended")


async def test_a_sync_handler_is_asked_to_stop_at_its_timeout_and_counts_as_hung_until_it_ends(
    host: Host,
) -> None:
    end, contexts = threading.Event(), []

    def work(number: int, context: Context[None]) -> None:
        contexts.append(context)
        end.wait(60)

    outcome = await host.bind(work, timeout=0.5).run(JOB, fence=1)

    assert isinstance(outcome, RetryLater)
    assert contexts[0].cancelled
    [hung] = host.hung.list()
    assert hung.thread not in (0, threading.get_ident())
    end.set()
    await asyncio.to_thread(until, lambda: host.hung.list() == [], "it has ended")


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_cancelled_attempt_raises_and_its_handler_can_see_it(is_async: bool, host: Host) -> None:
    seen, began = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(number: int, context: Context[None]) -> None:
        loop.call_soon_threadsafe(began.set)
        while not context.cancelled:
            time.sleep(0.001)
        seen.set()

    async def work_later(number: int, context: Context[None]) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            if context.cancelled:
                seen.set()

    attempt = asyncio.create_task(host.bind(work_later if is_async else work).run(JOB, fence=1))
    await began.wait()
    attempt.cancel()

    with pytest.raises(asyncio.CancelledError):
        await attempt
    await asyncio.to_thread(seen.wait, 60)
    assert seen.is_set()


async def test_a_handler_that_cancels_itself_has_failed(host: Host) -> None:
    async def cancel_itself(number: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    outcome = await host.bind(cancel_itself).run(JOB, fence=1)

    assert isinstance(outcome, RetryLater)
    assert outcome.failure.kind.endswith("CancelledError")


@pytest.mark.parametrize("is_async", [True, False])
async def test_at_its_soft_timeout_a_handler_is_interrupted_or_can_see_it(is_async: bool, host: Host) -> None:
    def work(number: int, context: Context[None]) -> str:
        while not context.cancelled:
            time.sleep(0.001)
        return "what there is"

    async def work_later(number: int, context: Context[None]) -> str:
        try:
            await asyncio.Event().wait()
        except SoftTimeout:
            assert context.cancelled
        return "what there is"

    outcome = await host.bind(work_later if is_async else work, soft_timeout=0.01).run(JOB, fence=1)

    assert value(outcome) == "what there is"


async def test_attempts_share_no_context_variables(host: Host) -> None:
    variable = ContextVar("variable", default="unset")

    async def see_and_set(number: int) -> str:
        before = variable.get()
        variable.set("set by a handler")
        return before

    handler = host.bind(see_and_set)

    assert {value(await handler.run(JOB, fence=1)) for _ in range(3)} == {"unset"}


def value(outcome: Outcome) -> Any:
    assert isinstance(outcome, Done), outcome
    return msgspec.json.decode(outcome.output)


async def test_an_attempt_cancelled_in_the_cleanup_after_its_timeout_cleans_up_once(host: Host) -> None:
    cancellations: list[int] = []
    cancelled, release = asyncio.Event(), asyncio.Event()

    async def stubborn(number: int) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancellations.append(number)
                cancelled.set()

    attempt = asyncio.create_task(host.bind(stubborn, timeout=0.01).run(JOB, fence=1))
    await cancelled.wait()
    attempt.cancel()
    with suppress(asyncio.CancelledError):
        await attempt

    assert cancellations == [1]
    (hung,) = host.hung.list()
    release.set()
    assert hung.task is not None
    await hung.task
    assert host.hung.list() == []
