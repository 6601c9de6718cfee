"""Lets jobs run side by side, and a suspect alone: so that a worker's death tells whose doing it was."""

import asyncio


class Company:
    """A suspect waits for those that run to end, and meanwhile nobody else begins.

    Whoever has joined leaves, and whoever was cancelled while it waited to join has not joined.
    """

    def __init__(self) -> None:
        self._running = 0
        self._suspects = 0
        #: Set, and replaced, when someone leaves for whom others wait.
        self._changed = asyncio.Event()

    async def join(self, *, alone: bool) -> None:
        """Returns when the job may run: beside others, or alone."""
        self._suspects += alone
        try:
            while self._running if alone else self._suspects:
                await self._changed.wait()
        except asyncio.CancelledError:
            self._suspects -= alone
            self._tell()
            raise
        self._running += 1

    def leave(self, *, alone: bool) -> None:
        """Lets in who waits for it."""
        self._running -= 1
        if self._suspects:  # else nobody waits, as on almost every day
            self._suspects -= alone
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
