"""Calls that meet the end of the loop's thread end too."""

import asyncio
import inspect
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from mousetrap.client import ClientClosed
from mousetrap.client.loop_thread import LoopThread

WITHIN_S = 60.0


async def nothing() -> None:
    pass


def test_a_call_after_the_stop_is_a_clear_error_and_its_coroutine_is_closed() -> None:
    loop = LoopThread()
    loop.stop()
    coroutine = nothing()

    with pytest.raises(ClientClosed, match="open another"):
        loop.run(coroutine)

    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


def test_calls_that_race_with_the_stop_all_end() -> None:
    def call_until_it_is_closed(loop: LoopThread) -> str:
        try:
            while True:
                loop.run(asyncio.sleep(0))
        except (ClientClosed, CancelledError):
            return "closed"

    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            loop = LoopThread()
            calls = [pool.submit(call_until_it_is_closed, loop) for _ in range(8)]
            loop.run(nothing())
            loop.stop()
            assert [each.result(WITHIN_S) for each in calls] == ["closed"] * 8


def test_a_call_that_was_put_on_the_loop_before_the_stop_is_cancelled() -> None:
    loop = LoopThread()
    with ThreadPoolExecutor(1) as pool:
        begun = asyncio.Event()

        async def waits() -> None:
            begun.set()
            await asyncio.Event().wait()

        waiting = pool.submit(loop.run, waits())
        loop.run(begun.wait())
        loop.stop()

        with pytest.raises(CancelledError):
            waiting.result(WITHIN_S)
