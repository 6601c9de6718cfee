"""Runs a surrounded handler in the worker's process."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any

from mousetrap.handlers.binding import Binding
from mousetrap.handlers.bound_handler import HandlerHost
from mousetrap.handlers.calling import Raised, call
from mousetrap.handlers.context import Context
from mousetrap.handlers.items import Items
from mousetrap.handlers.run_surrounded import run_surrounded
from mousetrap.handlers.threads import run_in_thread
from mousetrap.handlers.yields import AttemptOver, Yields


async def call_surrounded(binding: Binding, host: HandlerHost, payload: Any, context: Context[Any]) -> Any:
    """The value of one attempt, with all that surrounds its handler. A sync handler runs in a thread."""
    calls = _ThreadCalls(host, context, binding.stage.soft_timeout)
    return await run_surrounded(binding, calls, _taker(binding, host, context), payload, context)


def _taker(binding: Binding, host: HandlerHost, context: Context[Any]) -> Yields | Items:
    """What takes the values that the handler gives one by one."""
    if binding.gives_items:
        return Items(binding, host.children(context), host.largest)
    return Yields(context, host.emit)


class _ThreadCalls:
    """Calls one attempt's sync handler in a thread.

    1. At its soft timeout the context reports `cancelled`, and no more: nothing can be raised in a thread.
    2. When the attempt ends before the thread, a generator is closed at its next `yield`; the thread counts as hung.
    """

    def __init__(self, host: HandlerHost, context: Context[Any], soft_timeout: float | None) -> None:
        self._host = host
        self._context = context
        self._soft_timeout = soft_timeout
        self._loop = asyncio.get_running_loop()
        self._over = False
        self._waiting: Future[None] | None = None

    async def run(self, function: Callable[[], Any]) -> Any:
        work = partial(copy_context().run, call, function)  # what surrounds the handler sets variables for it
        timer = None
        if self._soft_timeout is not None:
            timer = self._loop.call_later(self._soft_timeout, self._context.stopped.set)
        try:
            ended = await run_in_thread(self._host.threads, self._host.hung, self._context, work, None)
        finally:
            self._over = True
            if timer is not None:
                timer.cancel()
            if self._waiting is not None:
                self._waiting.cancel()
        assert ended is not None
        try:
            if isinstance(ended, Raised):
                raise ended.error
            return ended.value
        finally:
            del ended  # else the error, its traceback and this frame keep one another

    def wait(self, work: Coroutine[Any, Any, None]) -> None:
        if self._over:
            work.close()
            raise AttemptOver
        self._waiting = asyncio.run_coroutine_threadsafe(work, self._loop)
        if self._over:  # it ended in between
            self._waiting.cancel()
        self._waiting.result()
