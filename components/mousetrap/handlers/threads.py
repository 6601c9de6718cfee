"""Runs sync handlers in threads."""

import asyncio
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from mousetrap.handlers.calling import ended_within
from mousetrap.handlers.context import AttemptInfo
from mousetrap.handlers.hung import HungHandlers, ThreadCall
from mousetrap.jobs import Job

T = TypeVar("T")


async def run_in_thread(
    threads: Executor,
    hung: HungHandlers,
    job: Job | AttemptInfo,
    function: Callable[[], T],
    timeout_s: float | None,
) -> T | None:
    """The value of `function`, which raises nothing; None once `timeout_s` seconds are over.

    After a timeout or a cancellation the function goes on, and counts as hung until it ends.
    """
    # Not run_in_executor(): its futures, and the frames below the handler's, would hold the result, and so everything that a
    # failed handler held, until the next collection.
    loop, call = asyncio.get_running_loop(), ThreadCall(job)
    ended: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        loop.call_soon_threadsafe(_give, reference, _run(hung, call, function))

    reference = weakref.ref(ended)
    submitted = threads.submit(run)
    try:
        return ended.result() if await ended_within(ended, timeout_s) else None
    finally:
        if not ended.done():
            submitted.cancel()
            call.asked_at = time.monotonic()


def _run(hung: HungHandlers, call: ThreadCall, function: Callable[[], T]) -> T:
    call.thread = threading.get_ident()
    hung.thread_began(call)
    try:
        return function()
    finally:
        hung.thread_ended(call)


def _give(reference: "weakref.ref[asyncio.Future[T]]", value: T) -> None:
    future = reference()
    if future is not None and not future.done():  # else its awaiter has left
        future.set_result(value)
