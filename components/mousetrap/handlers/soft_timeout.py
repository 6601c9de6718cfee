"""Raises SoftTimeout in an async handler when its soft timeout is over."""

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

from mousetrap.retry import TimeLimitExceeded

Value = TypeVar("Value")


class SoftTimeout(TimeLimitExceeded):
    """The stage's soft timeout is over: keep what you have and return, for at the hard timeout the attempt has failed."""


async def run_softly(
    handler: Callable[..., Coroutine[Any, Any, Value]],
    arguments: tuple[Any, ...],
    seconds: float,
    stopped: threading.Event,
) -> Value:
    """Awaits the handler in the running task. After `seconds` it sets `stopped` and raises SoftTimeout in the handler."""
    limit = SoftLimit()
    own_task = weakref.ref(_running_task())  # a strong reference would keep a failed handler's frames

    def on_timeout() -> None:
        stopped.set()
        if (task := own_task()) is not None:
            limit.interrupt(task)

    timer = asyncio.get_running_loop().call_later(seconds, on_timeout)
    try:
        return await limit.around(handler(*arguments))
    finally:
        timer.cancel()


class SoftLimit:
    """One call of an async handler that may be interrupted once."""

    def __init__(self) -> None:
        self._over = False

    def interrupt(self, task: "asyncio.Task[Any]") -> None:
        """Raises SoftTimeout at the await where the handler waits in `task`. Call it on the event loop, once."""
        self._over = True
        task.cancel()

    @coroutine
    def around(self, work: Coroutine[Any, Any, Value]) -> Generator[Any, Any, Value]:
        """Awaits the handler. The cancellation by `interrupt` reaches it as SoftTimeout, every other one as it is."""
        go_on, given = work.send, None
        while True:
            try:
                awaited = go_on(given)
            except StopIteration as end:
                value: Value = end.value
                return value
            try:
                go_on, given = work.send, (yield awaited)
            except BaseException as error:  # noqa: BLE001  what an await raises, it raises in the handler
                go_on, given = work.throw, self._translated(error)

    def _translated(self, error: BaseException) -> BaseException:
        if not self._over or not isinstance(error, asyncio.CancelledError):
            return error
        self._over = False
        # More than one cancellation: another caller cancels as well, and that cancellation wins.
        return error if _running_task().uncancel() else SoftTimeout("the soft time limit is over")


def _running_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task
