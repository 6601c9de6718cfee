"""Calls a surrounded sync handler while the event loop is paused."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from mousetrap.handlers import Raised, Returned, call


class PausedLoopCalls:
    """Hands a call from the loop to the main thread: there a sync handler may run a loop of its own, and signals reach it.

    1. `run`, on the loop, asks for the call and waits.
    2. `asked_before` ends, so that the loop is paused, and `make` makes the call.
    3. The loop goes on, and `run` returns what the call gave.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked = asyncio.Event()
        self._function: Callable[[], Any] = lambda: None
        self._variables: Context = copy_context()
        self._waiting: asyncio.Task[None] | None = None
        self._interruption: BaseException | None = None
        self._ended: asyncio.Future[Returned | Raised] = loop.create_future()

    async def run(self, function: Callable[[], Any]) -> Any:
        """The value of `function`, which the main thread calls. Raises what it raises."""
        self._function, self._variables = function, copy_context()
        self._ended = self._loop.create_future()
        self._asked.set()
        ended = await self._ended
        try:
            if isinstance(ended, Raised):
                raise ended.error
            return ended.value
        finally:
            del ended  # else the error, its traceback and this frame keep one another

    def wait(self, work: Coroutine[Any, Any, None]) -> None:
        """Returns when `work` is done; called by the function, and so with the loop paused. Raises the error of `interrupt`."""
        self._waiting = self._loop.create_task(work)
        try:
            self._loop.run_until_complete(self._waiting)
        except asyncio.CancelledError:
            if self._interruption is None:
                raise
        finally:
            self._waiting = None
        error, self._interruption = self._interruption, None
        if error is not None:
            raise error

    def interrupt(self, error: BaseException) -> bool:
        """Raises `error` from `wait`, if the function is there; raised at once, a callback of the loop would swallow it."""
        if self._waiting is None:
            return False
        self._interruption = error
        self._loop.call_soon_threadsafe(self._waiting.cancel)
        return True

    async def asked_before(self, task: "asyncio.Task[Any]") -> bool:
        """Whether a call was asked for; False once the task has ended."""
        asked = asyncio.create_task(self._asked.wait())
        await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        return self._asked.is_set() and not task.done()

    def make(self) -> None:
        """Makes the call that was asked for, in the running thread."""
        self._asked.clear()
        ended = self._variables.run(call, self._function)
        if not self._ended.done():
            self._ended.set_result(ended)
