"""Counts what many queues hold, over one channel."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from mousetrap.job_queue.amqp.connection import count_each
from mousetrap.job_queue.amqp.frames import MAX_NAME_BYTES
from mousetrap.job_queue.topology.declare import LOOKS_AT_NOTHING

#: Queues that are asked for together; the broker may take as long for them as for any other answer.
_TOGETHER = 200
#: RabbitMQ gives a queue's leader a quarter of a second before it reports nothing of it. What came sooner is believed: most
#: queues have no dead letter and no consumer there, and to ask for each three times took three times as long.
_BELIEVED_S = 0.2

Counts = tuple[int, int]


class Counter:
    """Counts messages and consumers of queues. What is missing closes the channel: it is asked for alone the next time."""

    def __init__(self, channel: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._channel = channel
        #: Those that were missing the last time.
        self._missing: set[str] = set()

    async def count(self, queues: Iterable[str]) -> Mapping[str, Counts]:
        """By name, of those that are there. Raises what opening a channel raises."""
        names = [name for name in dict.fromkeys(queues) if len(name.encode()) <= MAX_NAME_BYTES]
        left = sorted(names, key=self._missing.__contains__)
        found: dict[str, Counts] = {}
        while left:
            some = left[:1] + [name for name in left[1:_TOGETHER] if name not in self._missing]
            counts = await self._ask(some)
            found |= counts
            self._missing.difference_update(counts)
            self._missing.update(some[len(counts) : len(counts) + 1])
            left = left[min(len(counts) + 1, len(some)) :]
        return found

    async def _ask(self, queues: Sequence[str]) -> Mapping[str, Counts]:
        """Of those before the first that is missing."""
        found: dict[str, Counts] = {}
        for _ in range(LOOKS_AT_NOTHING):
            begun_s = asyncio.get_running_loop().time()
            async with self._channel() as channel:
                counts = dict(zip(queues, await count_each(channel, queues), strict=False))
            found |= counts
            queues = [name for name, each in counts.items() if each == (0, 0)]
            if not queues or asyncio.get_running_loop().time() - begun_s < _BELIEVED_S:
                break
        return found
