"""Passes a handler's progress on to the run store, a few times a second at most."""

import asyncio
from contextlib import suppress

from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store import RunStore
from mousetrap.shapes import Progress

#: Seconds between two reports of one attempt; what was said in between is replaced by the latest.
_PAUSE = 0.2


class ProgressReporter:
    """One attempt's reports; may be called from any thread, and never keeps its caller waiting."""

    def __init__(self, store: RunStore, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._loop = asyncio.get_running_loop()
        self._latest: Progress | None = None
        self._sending: asyncio.Task[None] | None = None

    def __call__(self, progress: Progress) -> None:
        self._loop.call_soon_threadsafe(self._take, progress)

    def _take(self, progress: Progress) -> None:
        self._latest = progress
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while self._latest is not None:
            latest, self._latest = self._latest, None
            with suppress(StoreUnreachable):  # nothing depends on it
                await self._store.report(self._run_id, latest)
            await asyncio.sleep(_PAUSE)
        self._sending = None
