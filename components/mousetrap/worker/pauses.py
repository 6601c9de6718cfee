"""Knows which queues a worker takes nothing from."""

import asyncio
from collections.abc import Collection


class Pauses:
    """The queues that are paused now; set on the worker's event loop by who reads the store.

    A worker begins no subscription before they are `known`: one that starts while a queue is paused takes nothing from it.
    """

    def __init__(self, *, known: bool = True) -> None:
        self._queues: frozenset[str] = frozenset()
        #: Whether the worker is to take nothing at all.
        self.everything = False
        self.known = asyncio.Event()
        self.changed = asyncio.Event()
        if known:
            self.known.set()

    def __contains__(self, queue: str) -> bool:
        return self.everything or queue in self._queues

    def set(self, queues: Collection[str], *, everything: bool = False) -> None:
        """These are paused from now on, and no others."""
        now = (frozenset(queues), everything)
        if now != (self._queues, self.everything):
            self._queues, self.everything = now
            self.changed.set()
        self.known.set()
