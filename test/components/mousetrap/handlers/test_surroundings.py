"""Around, middleware and error hook surround every attempt, in order."""

import asyncio
import functools
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from mousetrap.handlers import AttemptFailed, Context, Next, SoftTimeout, error_hook
from mousetrap.jobs import Done, GiveUp, RetryLater
from mousetrap.retry import RetryPolicy, TimeLimitExceeded
from support.handler_host import JOB, HandlerBench, until

NAME: ContextVar[str] = ContextVar("name", default="")


@pytest.fixture
def handlers() -> Iterator[HandlerBench]:
    with ThreadPoolExecutor(2) as threads:
        yield HandlerBench(threads)


def plus(number: int) -> int:
    return number + 1


async def plus_later(number: int) -> int:
    await asyncio.sleep(0)
    return number + 1


def noted(notes: list[Any], name: str) -> Any:
    async def middleware(context: Context[Any], payload: Any, call_next: Next) -> Any:
        notes.append((name, payload, context.stage))
        value = await call_next(payload * 10)
        notes.append((name, value))
        return value + 1

    return middleware


def entered(notes: list[Any]) -> Any:
    @asynccontextmanager
    async def around(context: Context[Any]) -> AsyncIterator[None]:
        notes.append(("enter", context.attempt))
        NAME.set("set around")
        try:
            yield
        finally:
            notes.append("leave")

    return around


@pytest.mark.parametrize("handler", [plus, plus_later])
async def test_around_is_outermost_and_the_first_middleware_is_outside_the_second(
    handler: Callable[..., Any], handlers: HandlerBench
) -> None:
    notes: list[Any] = []

    value = await handlers.value(
        handler, around=entered(notes), middleware=[noted(notes, "one"), noted(notes, "two")]
    )

    assert value == 103
    assert notes == [
        ("enter", 1),
        ("one", 1, "add"),
        ("two", 10, "add"),
        ("two", 101),
        ("one", 102),
        "leave",
    ]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_handler_has_the_context_and_the_variables_of_what_surrounds_it(
    handlers: HandlerBench, is_async: bool
) -> None:
    def facts(number: int, context: Context[str]) -> list[Any]:
        return [
            number,
            context.deps,
            context.fence,
            NAME.get(),
            threading.current_thread() is threading.main_thread(),
        ]

    async def facts_later(number: int, context: Context[str]) -> list[Any]:
        return facts(number, context)

    value = await handlers.value(facts_later if is_async else facts, "a client", around=entered([]))

    assert value == [1, "a client", 7, "set around", is_async]
    assert NAME.get() == ""


@pytest.mark.parametrize("handler", [plus, plus_later])
async def test_a_middleware_can_answer_in_place_of_the_handler_and_call_it_again(
    handler: Callable[..., Any], handlers: HandlerBench
) -> None:
    async def cached(context: Context[Any], payload: int, call_next: Next) -> int:
        return 5

    async def twice(context: Context[Any], payload: int, call_next: Next) -> list[Any]:
        return [await call_next(payload), await call_next(payload + 1)]

    assert await handlers.value(handler, middleware=[cached]) == 5
    assert await handlers.value(handler, middleware=[twice]) == [2, 3]


class Failing:
    """Fails at one place of an attempt."""

    def __init__(self, place: str) -> None:
        self.place = place

    @asynccontextmanager
    async def around(self, context: Context[Any]) -> AsyncIterator[None]:
        self._fail("enter")
        yield
        self._fail("leave")

    async def middleware(self, context: Context[Any], payload: Any, call_next: Next) -> Any:
        self._fail("before")
        value = await call_next(payload)
        self._fail("after")
        return value

    def _fail(self, place: str) -> None:
        if place == self.place:
            raise KeyError(f"at {place}")


@pytest.mark.parametrize("handler", [plus, plus_later])
@pytest.mark.parametrize("place", ["enter", "before", "after", "leave"])
async def test_what_raises_around_a_handler_is_judged_as_the_handler_s_error_and_named(
    handler: Callable[..., Any], place: str, handlers: HandlerBench
) -> None:
    failing = Failing(place)
    about: dict[str, Any] = {"around": failing.around, "middleware": [failing.middleware]}

    retried = await handlers.run(handler, **about)
    given_up = await handlers.run(handler, stage={"retry": RetryPolicy(dont_retry_on=(KeyError,))}, **about)

    assert isinstance(retried, RetryLater)
    assert (retried.failure.kind, retried.failure.text) == ("KeyError", f"'at {place}'")
    assert f"in {'around' if place in ('enter', 'leave') else 'middleware'}\n" in retried.failure.traceback
    assert isinstance(given_up, GiveUp)
    assert given_up.reason == "not-retryable"


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_handler_s_error_passes_through_what_surrounds_it(
    handlers: HandlerBench, is_async: bool
) -> None:
    seen: list[str] = []

    def failing(number: int) -> int:
        raise ZeroDivisionError(number)

    async def failing_later(number: int) -> int:
        raise ZeroDivisionError(number)

    async def note(context: Context[Any], payload: Any, call_next: Next) -> Any:
        try:
            return await call_next(payload)
        except ZeroDivisionError as error:
            seen.append(str(error))
            raise

    outcome = await handlers.run(failing_later if is_async else failing, middleware=[note])

    assert isinstance(outcome, RetryLater)
    assert "in failing" in outcome.failure.traceback
    assert seen == ["1"]


async def test_at_the_timeout_what_surrounds_an_async_handler_is_left(handlers: HandlerBench) -> None:
    notes: list[Any] = []

    async def endless(number: int) -> None:
        await asyncio.sleep(100)

    outcome = await handlers.run(endless, stage={"timeout": 0.05}, around=entered(notes))

    assert isinstance(outcome, RetryLater)
    assert outcome.failure.kind.endswith("TimeLimitExceeded")
    assert notes == [("enter", 1), "leave"]


async def test_at_the_timeout_a_surrounded_thread_goes_on_and_counts_as_hung(handlers: HandlerBench) -> None:
    let_go = threading.Event()

    def endless(number: int, context: Context[None]) -> None:
        let_go.wait(60)

    outcome = await handlers.run(endless, stage={"timeout": 0.5}, around=entered([]))

    assert isinstance(outcome, RetryLater)
    assert [(each.run_id, each.stage, each.attempt) for each in handlers.hung.list()] == [("r", "add", 1)]
    let_go.set()
    await until(lambda: not handlers.hung.list())


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_soft_timeout_reaches_a_surrounded_handler(handlers: HandlerBench, is_async: bool) -> None:
    def patient(number: int, context: Context[None]) -> str:
        context.stopped.wait(60)
        return "stopped" if context.cancelled else "late"

    async def patient_later(number: int, context: Context[None]) -> str:
        try:
            await asyncio.sleep(60)
        except SoftTimeout:
            return "stopped" if context.cancelled else "early"
        return "late"

    stage = {"soft_timeout": 0.05, "timeout": 30.0}
    handler = patient_later if is_async else patient

    assert await handlers.value(handler, stage=stage, around=entered([])) == "stopped"


async def test_a_binding_without_surroundings_calls_its_handler_as_before(handlers: HandlerBench) -> None:
    def depth(number: int) -> int:
        frame, count = sys._getframe(), 0
        while frame.f_back is not None:
            frame, count = frame.f_back, count + 1
        return count

    async def depth_later(number: int) -> list[str]:
        names: list[str] = []
        frame = sys._getframe().f_back
        while frame is not None and frame.f_code.co_filename.endswith("calling.py"):
            names, frame = [*names, frame.f_code.co_name], frame.f_back
        return names

    plain, hooked = await handlers.value(depth), await handlers.value(depth, on_error=print)

    assert plain == hooked
    assert await handlers.value(depth_later) == ["call_async"]


@pytest.mark.parametrize("hook_is_async", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
async def test_an_error_hook_gets_context_error_and_outcome_once_they_are_judged(
    handlers: HandlerBench, is_async: bool, hook_is_async: bool
) -> None:
    calls: list[tuple[Context[Any], BaseException, Any]] = []

    def failing(number: int) -> int:
        raise ZeroDivisionError(number)

    async def failing_later(number: int) -> int:
        raise ZeroDivisionError(number)

    def note(context: Context[Any], error: BaseException, outcome: RetryLater | GiveUp) -> None:
        calls.append((context, error, outcome))

    async def note_later(context: Context[Any], error: BaseException, outcome: RetryLater | GiveUp) -> None:
        note(context, error, outcome)

    outcome = await handlers.run(
        failing_later if is_async else failing, "deps", on_error=note_later if hook_is_async else note
    )

    [(context, error, judged)] = calls
    assert judged is outcome
    assert isinstance(error, ZeroDivisionError)
    assert (context.run_id, context.attempt, context.fence, context.deps) == ("r", 1, 7, "deps")
    assert len(handlers.errors) == 1


async def test_a_hook_is_called_for_timeouts_and_broken_contracts_and_not_for_success(
    handlers: HandlerBench,
) -> None:
    kinds: list[str] = []

    def note(context: Context[Any], error: BaseException, outcome: RetryLater | GiveUp) -> None:
        kinds.append(type(error).__name__)

    async def endless(number: int) -> None:
        await asyncio.sleep(100)

    assert await handlers.value(plus, on_error=note) == 2
    await handlers.run(endless, stage={"timeout": 0.05}, on_error=note)
    await handlers.run(plus, stage={"output": str}, on_error=note)
    await handlers.run(plus, stage={"input": str}, on_error=note)

    assert kinds == [TimeLimitExceeded.__name__, AttemptFailed.__name__, AttemptFailed.__name__]


@pytest.mark.parametrize("raised", [RuntimeError("no hook"), SystemExit(3), asyncio.CancelledError()])
@pytest.mark.parametrize("hook_is_async", [False, True])
async def test_a_hook_that_fails_is_logged_and_changes_nothing(
    handlers: HandlerBench, hook_is_async: bool, raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(*_: Any) -> None:
        raise raised

    async def hook_later(*_: Any) -> None:
        raise raised

    async def failing(number: int) -> int:
        raise ZeroDivisionError(number)

    outcome = await handlers.run(failing, on_error=hook_later if hook_is_async else hook)

    assert isinstance(outcome, RetryLater)
    assert outcome.failure.kind == "ZeroDivisionError"
    assert "on_error of stage add failed" in caplog.text


async def test_a_hook_that_does_not_end_is_left(
    handlers: HandlerBench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(error_hook, "HOOK_S", 0.05)

    async def endless(*_: Any) -> None:
        await asyncio.sleep(100)

    assert isinstance(await handlers.run(plus, stage={"output": str}, on_error=endless), GiveUp)
    assert "on_error of stage add took longer" in caplog.text


async def test_attempts_side_by_side_have_their_own_errors(handlers: HandlerBench) -> None:
    pairs: list[tuple[int, str]] = []

    async def failing(number: int, context: Context[None]) -> int:
        await asyncio.sleep(0.01 * (3 - context.attempt))
        raise ValueError(context.attempt)

    async def note(context: Context[Any], error: BaseException, outcome: RetryLater | GiveUp) -> None:
        pairs.append((context.attempt, str(error)))

    handler = handlers.bind(failing, on_error=note)
    jobs = [JOB, JOB.again(), JOB.again().again()]
    await asyncio.gather(*(asyncio.create_task(handler.run(job, fence=7)) for job in jobs))

    assert sorted(pairs) == [(1, "1"), (2, "2"), (3, "3")]


def _bare(context: Context[None]) -> Iterator[None]:
    yield


async def _bare_later(context: Context[None]) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"middleware": [plus]}, "middleware plus is not async: write `async def name"),
        ({"middleware": [functools.partial(plus)]}, "is not async"),
        (
            {"around": _bare_later},
            "around is _bare_later, a bare generator .*: put @asynccontextmanager on it",
        ),
        ({"around": plus_later}, "put @asynccontextmanager"),
        ({"around": 3}, "around is 3: give a function"),
        ({"on_error": "log"}, "on_error is 'log': give a function"),
    ],
)
def test_what_cannot_surround_a_handler_is_refused_where_it_is_written(
    more: dict[str, Any], text: str, handlers: HandlerBench
) -> None:
    with pytest.raises(ValueError, match=text):
        handlers.binding(plus, **more)


async def test_objects_and_partials_of_async_functions_are_middleware(handlers: HandlerBench) -> None:
    class Adder:
        async def __call__(self, context: Context[Any], payload: int, call_next: Next) -> Any:
            return await call_next(payload + 1)

    async def add(by: int, context: Context[Any], payload: int, call_next: Next) -> Any:
        return await call_next(payload + by)

    value = await handlers.value(plus, middleware=[Adder(), functools.partial(add, 10)])

    assert value == 13
    assert isinstance(await handlers.run(plus, middleware=[Adder()]), Done)
