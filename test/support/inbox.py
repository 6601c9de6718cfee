"""Receives from a queue and lets a test wait for what comes."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from mousetrap.jobs import Delivery, QueueUnreachable
from support.waiting import pause_s


class Inbox:
    """What `Queue.consume` can be given as `receive`."""

    def __init__(self) -> None:
        self._deliveries: asyncio.Queue[Delivery] = asyncio.Queue()

    def __call__(self, delivery: Delivery) -> None:
        self._deliveries.put_nowait(delivery)

    def __len__(self) -> int:
        """How many have come and were not taken out."""
        return self._deliveries.qsize()

    async def take(self, seconds: float = 60.0) -> Delivery:
        """The next delivery."""
        async with asyncio.timeout(seconds):
            return await self._deliveries.get()

    async def acknowledge(self, count: int) -> list[str]:
        """Takes so many, one by one, and acknowledges each at once; their messages' ids."""
        ids = []
        for _ in range(count):
            delivery = await self.take()
            assert delivery.acknowledge()
            ids.append(delivery.message.id)
        return ids


async def eventually(
    question: Callable[[], Awaitable[object]], answer: object, seconds: float = 60.0
) -> None:
    """Returns when `question` is answered so; fails with the last answer after `seconds`.

    A broker that gives no answer in time is asked again: the first connection of a busy machine can take that long.
    """
    last: object = None
    try:
        async with asyncio.timeout(seconds):
            begin = looked = time.monotonic()
            while (last := await _answer(question)) != answer:
                now = time.monotonic()
                await asyncio.sleep(pause_s(now - begin, now - looked))
                looked = time.monotonic()
    except TimeoutError:
        raise AssertionError(f"after {seconds:g} s still {last!r}, not {answer!r}") from None


async def _answer(question: Callable[[], Awaitable[object]]) -> object:
    try:
        return await question()
    except QueueUnreachable as error:
        return error
