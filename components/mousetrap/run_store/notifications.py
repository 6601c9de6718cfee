"""Notifies those who wait for runs, over one subscription per process."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from mousetrap.shutdown import end_tasks
from mousetrap.store_client import StoreClient

#: The channels, each with a run's id: that it has ended, and that something else of it changed. Earlier versions notify of both
#: on the first.
ENDS, CHANGES = "mousetrap:nudge", "mousetrap:changes"
#: A subscription on which nothing came for so long is asked for an answer, and is lost when none comes for as long again.
_CHECK_EVERY_S = 5.0
_RESUBSCRIBE_DELAY_S = 0.5


class Watcher:
    """One that waits for news of a run."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._named = False

    def wake(self, named: bool) -> None:
        """Ends the wait of `news`; `named` where a notification had the run's id."""
        self._named = self._named or named
        self._woken.set()

    async def news(self) -> None:
        """Returns once it was woken, after the last look."""
        await self._woken.wait()

    def look(self) -> bool:
        """Called before a look, which finds all that was notified before. Whether a notification had the run's id."""
        named, self._named = self._named, False
        self._woken.clear()
        return named


class Notifications:
    """One subscription to channels of all runs.

    1. It opens with the first watcher and reopens when it is lost, which it finds out by itself.
    2. A notification holds only a run's id: its watchers read the change from the store, so a lost one loses nothing.
    3. Each loss and each new subscription wakes all watchers, because notifications in between were missed. In a cluster a
       new one follows every few seconds.
    """

    def __init__(self, client: StoreClient, *channels: str) -> None:
        self._client = client
        self._channels = channels
        self._watchers: defaultdict[str, set[Watcher]] = defaultdict(set)
        self._listening: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()
        #: Why the subscription was last lost or refused.
        self.loss = ""

    @property
    def subscribed(self) -> bool:
        """Whether the server has accepted the subscription, as far as is known."""
        return self._subscribed.is_set()

    async def subscribed_within(self, seconds: float) -> None:
        """Returns once the subscription is accepted, or after so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._subscribed.wait(), seconds)

    @asynccontextmanager
    async def of(self, run_id: str) -> AsyncIterator[Watcher]:
        """A watcher of the run, in this block."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="run changes")
        watcher = Watcher()
        self._watchers[run_id].add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[run_id].discard(watcher)
            if not self._watchers[run_id]:
                del self._watchers[run_id]

    async def close(self) -> None:
        """Ends the subscription."""
        await end_tasks(self._listening)

    async def _listen(self) -> None:
        while True:
            try:
                await self._client.subscribe(self._channels, self._pass_on, _CHECK_EVERY_S)
            except OSError as error:
                self.loss = str(error)
                self._subscribed.clear()
                self._wake_all()
                await asyncio.sleep(_RESUBSCRIBE_DELAY_S)

    def _pass_on(self, came: list[Any]) -> None:
        match came:
            case [b"message", _, bytes(data)]:
                # One notification can name many runs. What is no id of a run that is watched has no watcher.
                for run_id in data.decode(errors="replace").split(" "):
                    for watcher in self._watchers.get(run_id, ()):
                        watcher.wake(named=True)
            case [b"subscribe", _, number] if number == len(self._channels):
                self._subscribed.set()
                self._wake_all()

    def _wake_all(self) -> None:
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.wake(named=False)
