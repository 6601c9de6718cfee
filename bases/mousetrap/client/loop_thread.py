"""Runs coroutines on an event loop in a thread of its own."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, TypeVar

from mousetrap.client.errors import ClientClosed

T = TypeVar("T")

#: For what is under way when the loop is stopped.
_STOP_TIMEOUT_S = 5.0


class LoopThread:
    """An event loop for callers without one; the thread is a daemon, so that a program that forgets it can end."""

    def __init__(self) -> None:
        # Not uvloop: the selectors' loop keeps nothing outside of Python, which a forked child could not leave alone.
        self._loop = asyncio.SelectorEventLoop()
        #: Held while a coroutine is put on the loop: none is after its end.
        self._lock = threading.Lock()
        self._stopped = False
        self._thread = threading.Thread(target=self._serve, name="mousetrap client", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """The coroutine's result; an interruption of the caller cancels it. Raises ClientClosed after `stop`."""
        with self._lock:
            if self._stopped:
                coroutine.close()
                raise ClientClosed("this client was closed meanwhile: open another")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout_s)
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Cancels what runs and what was put on the loop before, and ends the thread."""
        with self._lock:
            self._stopped = True
            ending = asyncio.run_coroutine_threadsafe(_end_others(), self._loop)
        with suppress(TimeoutError, CancelledError):
            ending.result(_STOP_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_TIMEOUT_S)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()


async def _end_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
