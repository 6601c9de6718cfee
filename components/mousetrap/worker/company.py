"""Lets jobs run side by side, and a suspect alone: so that a worker's death tells whose doing it was."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Company:
    """A suspect waits for those that run to end, and meanwhile nobody else begins."""

    def __init__(self) -> None:
        self._running = 0
        self._suspects = 0
        #: Set, and replaced, whenever someone leaves.
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def joined(self, *, alone: bool) -> AsyncIterator[None]:
        """Its block runs beside those of others, or alone."""
        self._suspects += alone
        try:
            while self._running if alone else self._suspects:
                await self._changed.wait()
            self._running += 1
            try:
                yield
            finally:
                self._running -= 1
        finally:
            self._suspects -= alone
            self._changed.set()
            self._changed = asyncio.Event()
