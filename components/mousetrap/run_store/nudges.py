"""Tells the watchers of a run that something happened: one subscription for a whole process, however many watch."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mousetrap.shutdown import end_tasks

_CHANNEL = "mousetrap:nudge"
#: Seconds before a lost subscription is taken up again.
_PAUSE = 0.5


class Nudges:
    """A nudge says only that there is news; the news is read from the store, so a lost nudge loses nothing."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._listening: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def of(self, run_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever the run changed."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        event = asyncio.Event()
        self._watchers[run_id].add(event)
        try:
            yield event
        finally:
            self._watchers[run_id].discard(event)
            if not self._watchers[run_id]:
                del self._watchers[run_id]

    @staticmethod
    async def wait(event: asyncio.Event, seconds: float) -> None:
        """Returns on the nudge, or after so many seconds without one."""
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)

    async def close(self) -> None:
        """Ends the subscription."""
        await end_tasks(self._listening)

    async def _listen(self) -> None:
        while True:
            with suppress(RedisError, OSError):
                async with self._client.pubsub() as channel:
                    await channel.subscribe(_CHANNEL)
                    while True:
                        message = await channel.get_message(timeout=1.0)
                        if message is not None:
                            self._pass_on(message)
            await asyncio.sleep(_PAUSE)

    def _pass_on(self, message: dict[str, object]) -> None:
        """A fresh subscription nudges everybody: what happened before it was not heard."""
        data = message.get("data")
        if message.get("type") == "message" and isinstance(data, bytes):
            told = self._watchers.get(data.decode(), set())
        else:
            told = {event for events in self._watchers.values() for event in events}
        for event in told:
            event.set()
