"""Subscribes to a queue, and again after each loss."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from mousetrap.job_queue.amqp.connection import Connection
from mousetrap.job_queue.errors import explain
from mousetrap.job_queue.link import BACKOFF, Link
from mousetrap.shutdown import end_tasks

_log = logging.getLogger("mousetrap.job_queue")


class Resubscriber:
    """A task that keeps one queue subscribed.

    1. It waits for the connection, and calls `receive_until_lost`, which opens a channel, subscribes, and notes that.
    2. The channel is lost alone, as while its queue is missing: it is called again, after a pause that grows with each failure.
    3. The connection is lost: the link logs it, and it is called with the next one.
    """

    def __init__(
        self,
        link: Link[Connection],
        queue: str,
        receive_until_lost: Callable[[Connection], Awaitable[Exception]],
        *,
        why: Callable[[Exception], str] = explain,
        least_pause_s: float = 0.0,
    ) -> None:
        self._link, self._queue, self._receive_until_lost = link, queue, receive_until_lost
        self._why, self._least_pause_s = why, least_pause_s
        self._failures = 0
        self._task = asyncio.create_task(self._run(), name=f"mousetrap consume {queue}")

    @property
    def ended(self) -> bool:
        """Whether it was ended."""
        return self._task.done()

    async def end(self) -> None:
        """Subscribes no more."""
        await end_tasks(self._task)

    def subscribed(self) -> None:
        """Notes that the queue is subscribed."""
        if self._failures:
            _log.info("queue %s: subscribed again", self._queue)
            self._failures = 0

    async def _run(self) -> None:
        lost = None
        while True:
            connection = await self._link.wait(other_than=lost)
            try:
                error = await self._receive_until_lost(connection)
            except Exception as raised:  # noqa: BLE001  whatever closed the channel, the task goes on
                error = raised
            if connection.is_open:
                await self._pause(error)
            else:
                lost = connection

    async def _pause(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            _log.warning("queue %s: %s; subscribing until it works", self._queue, self._why(error))
        await asyncio.sleep(self._least_pause_s + BACKOFF.pause(self._failures, random.random()))
