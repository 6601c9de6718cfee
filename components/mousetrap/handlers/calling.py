"""Calls a handler so that what it raises is a value: nothing that it does reaches the task, thread or loop around it."""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, TypeVar

from mousetrap.retry import error_kind, error_text, error_traceback
from mousetrap.shutdown import forked
from mousetrap.telemetry import below

T = TypeVar("T")

_log = logging.getLogger("mousetrap.worker")

#: Seconds that an async handler has to tidy up once it is cancelled; then nobody waits for it.
CLEANUP_S = 1.0
#: Characters of a traceback that a forked child prints.
_MOST = 8_000


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler's value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """What the handler raised: any BaseException."""

    error: BaseException


def call(function: Callable[..., Any], *arguments: Any) -> Returned | Raised:
    """Calls a sync handler.

    As a value its error is safe in a future: StopIteration would leave one pending for good (Python < 3.11.8 and < 3.12.2),
    and concurrent.futures.CancelledError would look like a cancellation of ours.
    """
    try:
        return _unless_forked(Returned(function(*arguments)))
    except BaseException as error:  # noqa: BLE001  all of it is judged
        # No local name for the outcome: it would keep the handler's frames until a collection.
        return _unless_forked(Raised(error))


async def call_in_task(
    context: Context,
    leave: Callable[["asyncio.Task[Any]"], None],
    function: Callable[..., Awaitable[Any]],
    *arguments: Any,
) -> Returned | Raised:
    """Calls an async handler in a task of its own, which runs in `context`: it can cancel that task, and not ours.

    Cancelled, this cancels the handler and waits for its end, for no longer than CLEANUP_S: a task that is still running
    then is given to `leave`.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(awaited(function, *arguments), context=context)
    # Awaited in the place of the task: then a cancellation of ours returns, though the handler swallows its own. As
    # asyncio.shield() does it, for half the cost.
    ended: asyncio.Future[None] = loop.create_future()
    task.add_done_callback(partial(_set_ended, ended))
    try:
        await ended
    except asyncio.CancelledError:
        if not task.done():
            await _end(task, leave)
        raise
    if task.cancelled():  # by the handler's own doing
        return Raised(asyncio.CancelledError())
    return task.result()


def _set_ended(ended: "asyncio.Future[None]", _: "asyncio.Task[Any]") -> None:
    if not ended.done():
        ended.set_result(None)


async def _end(task: "asyncio.Task[Any]", leave: Callable[["asyncio.Task[Any]"], None]) -> None:
    task.cancel()
    try:
        await asyncio.wait([task], timeout=CLEANUP_S)
    finally:
        if not task.done():
            leave(task)


async def awaited(function: Callable[..., Awaitable[Any]], *arguments: Any) -> Returned | Raised:
    """Calls an async handler in the running task.

    As a value its error is safe in a task: from there SystemExit and KeyboardInterrupt stop the event loop, and so does an
    error whose `__class__` raises.
    """
    try:
        return _unless_forked(Returned(await function(*arguments)))
    except BaseException as error:  # noqa: BLE001  all of it is judged
        return _unless_forked(Raised(error))


def run_through(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T] | asyncio.Task[T]) -> T:
    """Runs the loop until `work` has ended.

    A task or callback that a handler made can stop a loop, by SystemExit, KeyboardInterrupt or stop(): then it goes on.
    """
    task = work if isinstance(work, asyncio.Task) else loop.create_task(work)
    while True:
        try:
            return loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt, RuntimeError) as error:
            if task.done() or loop.is_closed():
                raise
            what = f"{error_kind(error)}: {error_text(error, _MOST)}"
            _log.warning("what a handler left on the event loop stopped it (%s): the loop goes on", what)


def _unless_forked(ended: Returned | Raised) -> Returned | Raised:
    if forked():
        _end_fork(ended)
    return ended


def _end_fork(ended: Returned | Raised) -> NoReturn:
    """A child that the handler forked has returned from it: it is no second worker, and its end is nobody's outcome."""
    if isinstance(ended, Raised) and not isinstance(ended.error, SystemExit):
        print(below(error_traceback(ended.error, _MOST).rstrip()), file=sys.stderr, flush=True)
    os._exit(0 if isinstance(ended, Returned) else 1)
