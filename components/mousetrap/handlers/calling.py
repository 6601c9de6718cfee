"""Calls a handler so that its errors are values.

Nothing that a handler raises reaches the task, the thread or the event loop around it.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, NoReturn, TypeVar

import msgspec

from mousetrap.retry import error_kind, error_text, error_traceback
from mousetrap.shutdown import this_process
from mousetrap.telemetry import below

T = TypeVar("T")

_log = logging.getLogger("mousetrap.worker")

#: Characters of a traceback that a forked child prints, and of an error in the log.
_MAX_TEXT = 8_000


class Returned(msgspec.Struct, frozen=True):
    """The handler's value."""

    value: Any


class Raised(msgspec.Struct, frozen=True):
    """The handler's error: any BaseException."""

    error: BaseException


def call(function: Callable[..., Any], *arguments: Any) -> Returned | Raised:
    """Calls a sync handler.

    As a value its error is safe in a future: StopIteration would leave one pending for good (Python < 3.11.8 and < 3.12.2),
    and concurrent.futures.CancelledError would look like a cancellation of ours.
    """
    try:
        value = function(*arguments)
    except BaseException as error:  # noqa: BLE001  all of it is judged
        if this_process.forked:
            _end_fork(error)
        # No local name for the outcome: it would keep the handler's frames until a collection.
        return Raised(error)
    if this_process.forked:
        _end_fork(None)
    return Returned(value)


async def call_async(function: Callable[..., Awaitable[Any]], *arguments: Any) -> Returned | Raised:
    """Calls an async handler in the running task.

    As a value its error is safe in a task: from there SystemExit and KeyboardInterrupt stop the event loop, and so does an
    error whose `__class__` raises.
    """
    try:
        value = await function(*arguments)
    except BaseException as error:  # noqa: BLE001  all of it is judged
        if this_process.forked:
            _end_fork(error)
        return Raised(error)
    if this_process.forked:
        _end_fork(None)
    return Returned(value)


def ended_within(work: "asyncio.Future[Any]", seconds: float | None) -> "asyncio.Future[bool]":
    """A future that is True once the task or future has ended, and False after so many seconds.

    Cancelled, it leaves `work` as it is: so its awaiter goes on even when a handler ignores its own cancellation. As
    asyncio.shield() and asyncio.wait() do it, for half the cost; and no frame of ours is added to the handler's.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bool] = loop.create_future()
    work.add_done_callback(partial(_wake, ended, True))
    if seconds is not None:
        timer = loop.call_later(seconds, _wake, ended, False)
        ended.add_done_callback(lambda _: timer.cancel())
    return ended


def _wake(ended: "asyncio.Future[bool]", in_time: bool, _: object = None) -> None:
    if not ended.done():
        ended.set_result(in_time)


def run_through(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, T] | asyncio.Task[T],
    begun: Callable[[], object] | None = None,
) -> T:
    """Runs the loop until `work` has ended. `begun` is called on it first, whenever it begins to run.

    A task or callback that a handler made can stop a loop, by SystemExit, KeyboardInterrupt or stop(): then it goes on.
    """
    task = work if isinstance(work, asyncio.Task) else loop.create_task(work)
    while True:
        if begun is not None:
            loop.call_soon(begun)
        try:
            return loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
            if task.done() or loop.is_closed():
                raise
            cause = f"{error_kind(error)}: {error_text(error, _MAX_TEXT)}"
            _log.warning("what a handler left on the event loop stopped it (%s): the loop goes on", cause)


def _end_fork(error: BaseException | None) -> NoReturn:
    """Ends a child that the handler forked and that returned from it: it is no second worker, and has no outcome."""
    if error is not None and not isinstance(error, SystemExit):
        print(below(error_traceback(error, _MAX_TEXT).rstrip()), file=sys.stderr, flush=True)
    os._exit(0 if error is None else 1)
