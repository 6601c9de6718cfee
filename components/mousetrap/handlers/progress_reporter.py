"""Passes a handler's progress reports on, a few times a second."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from mousetrap.jobs import StoreUnreachable
from mousetrap.shapes import Progress

#: Keeps the progress of a run, which its id names.
Report = Callable[[str, Progress], Awaitable[None]]

#: Seconds between two reports of one attempt; the latest replaces those in between.
_REPORT_INTERVAL_S = 0.2


class ProgressReporter:
    """One attempt's reports; may be called from any thread, and never blocks its caller."""

    def __init__(self, report: Report, run_id: str) -> None:
        self._report = report
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
                await self._report(self._run_id, latest)
            await asyncio.sleep(_REPORT_INTERVAL_S)
        self._sending = None
