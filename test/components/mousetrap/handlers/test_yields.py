"""A generator handler's values are kept, and its output found."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mousetrap.handlers import LARGEST_VALUE, Context, Next, Result
from mousetrap.jobs import Done, GiveUp, RetryLater
from mousetrap.retry import RetryPolicy
from support.handler_host import JOB, HandlerBench, until


@pytest.fixture
def handlers() -> Iterator[HandlerBench]:
    with ThreadPoolExecutor(2) as threads:
        yield HandlerBench(threads)


def pages(number: int) -> Generator[Any, None, str]:
    yield {"page": number}
    yield None
    yield [number]
    return "all"


async def pages_later(number: int) -> AsyncIterator[Any]:
    yield {"page": number}
    yield None
    yield [number]
    yield Result("some")
    yield Result("all")


@pytest.mark.parametrize("handler", [pages, pages_later])
async def test_each_yielded_value_is_kept_and_the_last_one_of_its_kind_is_the_output(
    handler: Callable[..., Any], handlers: HandlerBench
) -> None:
    assert await handlers.value(handler) == "all"
    assert handlers.values == [{"page": 1}, None, [1]]


async def test_a_sync_generator_s_output_is_what_it_returns_else_its_last_result(
    handlers: HandlerBench,
) -> None:
    def both(number: int) -> Generator[Any, None, int]:
        yield Result(1)
        return 2

    def one(number: int) -> Iterator[Any]:
        yield Result(1)

    def none(number: int) -> Iterator[Any]:
        yield 1

    assert [await handlers.value(handler) for handler in (both, one, none)] == [2, 1, None]


def fails(number: int, context: Context[None]) -> Iterator[Any]:
    try:
        yield "first"
        raise ZeroDivisionError(number)
    finally:
        context.deps.append("closed")  # type: ignore[attr-defined]


async def fails_later(number: int, context: Context[Any]) -> AsyncIterator[Any]:
    try:
        yield "first"
        raise ZeroDivisionError(number)
    finally:
        context.deps.append("closed")


@pytest.mark.parametrize("handler", [fails, fails_later])
async def test_a_generator_that_raises_half_way_keeps_its_values_and_is_judged(
    handler: Callable[..., Any], handlers: HandlerBench
) -> None:
    notes: list[str] = []

    outcome = await handlers.run(handler, notes)
    assert isinstance(outcome, RetryLater)
    assert f"in {handler.__name__}" in outcome.failure.traceback
    refused = await handlers.run(handler, notes, stage={"retry": RetryPolicy(attempts=1)})
    assert isinstance(refused, GiveUp)
    assert refused.reason == "max-retries"
    assert notes == ["closed", "closed"]
    assert [value for _, value in handlers.yielded] == [b'"first"', b'"first"']


@pytest.mark.parametrize("value", [object(), float("nan"), "x" * LARGEST_VALUE])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_value_without_a_json_form_or_too_large_is_a_broken_contract_and_ends_the_generator(
    handlers: HandlerBench, value: Any, is_async: bool
) -> None:
    notes: list[str] = []

    def yields(number: int) -> Iterator[Any]:
        try:
            yield 1
            yield value
            yield 3
        finally:
            notes.append("closed")

    async def yields_later(number: int) -> AsyncIterator[Any]:
        for each in yields(number):
            yield each

    outcome = await handlers.run(yields_later if is_async else yields)

    assert isinstance(outcome, GiveUp)
    assert outcome.reason == "contract"
    assert "value 2 that stage 'add' yielded" in outcome.failure.text
    assert handlers.values == [1]
    assert notes == ["closed"] or is_async


@pytest.mark.parametrize("reply", ["stale", "over"])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_generator_whose_attempt_counts_no_more_is_closed(
    handlers: HandlerBench, reply: str, is_async: bool
) -> None:
    notes: list[Any] = []

    def counts(number: int) -> Iterator[int]:
        try:
            for each in range(10):
                notes.append(each)
                yield each
        finally:
            notes.append("closed")

    async def counts_later(number: int) -> AsyncIterator[int]:
        try:
            for each in range(10):
                notes.append(each)
                yield each
        finally:
            notes.append("closed")

    handlers.replies = ["recorded", reply]
    outcome = await handlers.run(counts_later if is_async else counts)

    assert not isinstance(outcome, Done)
    assert notes == [0, 1, "closed"]
    assert handlers.values == [0]


@pytest.mark.parametrize("handler", [pages, pages_later])
async def test_once_a_run_keeps_no_more_the_handler_goes_on_to_its_output(
    handler: Callable[..., Any], handlers: HandlerBench
) -> None:
    handlers.replies = ["recorded", "full"]

    assert await handlers.value(handler) == "all"
    assert handlers.values == [{"page": 1}]


async def test_at_the_timeout_an_async_generator_is_closed(handlers: HandlerBench) -> None:
    notes: list[str] = []

    async def endless(number: int) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0.001)
        finally:
            notes.append("closed")

    outcome = await handlers.run(endless, stage={"timeout": 0.3})

    assert isinstance(outcome, RetryLater)
    assert notes == ["closed"]
    assert handlers.values


async def test_at_the_timeout_or_a_cancel_a_sync_generator_is_closed_at_its_next_yield(
    handlers: HandlerBench,
) -> None:
    closed, go_on = threading.Event(), threading.Event()

    def slow(number: int) -> Iterator[int]:
        try:
            yield 1
            go_on.wait(60)
            yield 2
            yield 3
        finally:
            closed.set()

    attempt = asyncio.create_task(handlers.run(slow))
    await until(lambda: bool(handlers.yielded))
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    go_on.set()

    await until(closed.is_set)
    await until(lambda: not handlers.hung.list())
    assert handlers.values == [1]


async def test_a_cancel_ends_a_wait_for_the_store(handlers: HandlerBench) -> None:
    closed, asked = threading.Event(), threading.Event()

    async def keep(*_: Any) -> Any:
        asked.set()
        await asyncio.sleep(100)

    def one(number: int) -> Iterator[int]:
        try:
            yield 1
        finally:
            closed.set()

    object.__setattr__(handlers.host, "emit", keep)
    attempt = asyncio.create_task(handlers.run(one))
    await until(asked.is_set)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt

    await until(closed.is_set)


@pytest.mark.parametrize("handler", [pages, pages_later])
async def test_middleware_surrounds_a_generator_and_gets_its_output(
    handler: Callable[..., Any], handlers: HandlerBench
) -> None:
    async def shout(context: Context[Any], payload: int, call_next: Next) -> str:
        return str(await call_next(payload + 1)).upper()

    assert await handlers.value(handler, middleware=[shout]) == "ALL"
    assert handlers.values == [{"page": 2}, None, [2]]


async def test_a_generator_of_a_later_attempt_has_its_own_numbers(handlers: HandlerBench) -> None:
    handler = handlers.bind(pages)

    for job in (JOB, JOB.again()):
        await handler.run(job, fence=7)

    assert [number for number, _ in handlers.yielded] == [1, 2, 3, 1, 2, 3]
