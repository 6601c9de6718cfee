"""Notifies the watchers of runs, over one subscription per process."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from mousetrap.shutdown import end_tasks

_CHANNEL = "mousetrap:nudge"
_RESUBSCRIBE_DELAY_S = 0.5


class RunChanges:
    """One subscription to the changes of all runs.

    1. It opens with the first watcher and reopens when it is lost.
    2. A notification holds only a run's id: watchers read the change from the store, so a lost notification loses nothing.
    3. After each new subscription all watchers look, because changes before it were missed.
    """

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
        """Returns on a notification, or after so many seconds."""
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
            await asyncio.sleep(_RESUBSCRIBE_DELAY_S)

    def _pass_on(self, message: dict[str, object]) -> None:
        data = message.get("data")
        if message.get("type") == "message" and isinstance(data, bytes):
            events = self._watchers.get(data.decode(), set())
        else:
            events = {event for each in self._watchers.values() for event in each}
        for event in events:
            event.set()
