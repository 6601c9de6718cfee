"""Lets blocking callers use a queue that lives on an event loop."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from mousetrap.job_queue.topics.async_topics import open_claim_queue
from mousetrap.jobs import Claim, ClaimQueue, Message, QueueOptions

T = TypeVar("T")


class LoopQueue:
    """The embedded queue for blocking callers, on an event loop in a thread of its own."""

    def __init__(self, url: str, options: QueueOptions) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mousetrap topics", daemon=True)
        self._thread.start()
        self._opened = AsyncExitStack()
        try:
            self._queue: ClaimQueue = self._run(
                self._opened.enter_async_context(open_claim_queue(url, options))
            )
        except BaseException:
            self._end()
            raise

    def declare_queue(self, queue: str) -> None:
        self._run(self._queue.declare_queue(queue))

    def publish(self, queue: str, message: Message, *, after: float) -> None:
        self._run(self._queue.publish(queue, message, after=after))

    def claim(self, queue: str, wait: float) -> Claim | None:
        return self._run(self._queue.claim(queue, wait))

    def settle(self, claim: Claim, settle: Callable[[Claim], bool]) -> bool:
        async def on_the_loop() -> bool:
            return settle(claim)

        return self._run(on_the_loop())

    def close(self) -> None:
        try:
            self._run(self._opened.aclose())
        finally:
            self._end()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()  # the caller was interrupted, as by Ctrl-C
            raise

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
