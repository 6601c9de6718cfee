"""Calls of handlers whose errors are values."""

import asyncio
import concurrent.futures
from typing import Any

import pytest

from mousetrap.handlers import Raised, Returned, call, call_async, run_through
from mousetrap.handlers.calling import ended_within

ERRORS = [
    ValueError("no"),
    StopIteration(1),
    StopAsyncIteration(),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    concurrent.futures.CancelledError(),
]


def test_a_call_gives_the_value() -> None:
    assert call(lambda first, second: first + second, 1, 2) == Returned(3)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_a_sync_call_raises_is_a_value(error: BaseException) -> None:
    def fail() -> None:
        raise error

    assert call(fail) == Raised(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_whatever_an_async_call_raises_is_a_value(error: BaseException) -> None:
    async def fail() -> None:
        raise error

    ended = await asyncio.create_task(call_async(fail))

    assert isinstance(ended, Raised)
    # Python makes a RuntimeError of a StopIteration that leaves a coroutine.
    assert ended.error is error or isinstance(ended.error.__cause__, StopIteration)


async def test_work_that_ends_in_time_has_ended() -> None:
    work: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(work.set_result, 1)

    assert await ended_within(work, None)
    assert await ended_within(work, 60.0)


async def test_work_that_takes_longer_goes_on() -> None:
    work: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    assert not await ended_within(work, 0.01)
    assert not work.done()


async def test_a_cancelled_wait_leaves_the_work_as_it_is() -> None:
    work: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait() -> bool:
        return await ended_within(work, 60.0)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not work.done()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_loop_that_is_stopped_goes_on_until_the_work_has_ended(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def stop() -> Any:
        raise error

    async def work() -> str:
        asyncio.get_running_loop().call_soon(stop)
        await asyncio.sleep(0.01)
        return "ended"

    with asyncio.Runner() as runner:
        assert run_through(runner.get_loop(), work()) == "ended"
    assert "the loop goes on" in caplog.text
