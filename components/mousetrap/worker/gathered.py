"""Reads the outputs that a join takes, a page at a time."""

import asyncio
from concurrent.futures import Future

from msgspec import UNSET

from mousetrap.handlers import FanRefused
from mousetrap.jobs import Done, PayloadUnusable
from mousetrap.pipeline import PAGE, Page
from mousetrap.run_store import ChildOutput, RunStore
from mousetrap.worker.outages import Outages

#: Bytes of outputs after which a page ends, for the sake of large ones.
_PAGE_BYTES = 4 * 1024 * 1024


class StoredPages:
    """The outputs of one fan, as the store has them; they wait for a store that is away."""

    def __init__(self, store: RunStore, outages: Outages, run_id: str, fan: str) -> None:
        self._store = store
        self._outages = outages
        # A re-run that began with the join reads what the children of the run before it gave.
        repeated, _, self._fan = fan.rpartition("/")
        self._run_id = repeated or run_id
        self.loop = asyncio.get_running_loop()

    def get(self, first: int) -> "Future[Page]":
        """The outputs of up to PAGE indexes from `first` on."""
        return asyncio.run_coroutine_threadsafe(self._page(first), self.loop)

    async def _page(self, first: int) -> Page:
        """Raises FanRefused where the store has forgotten an output that it counted."""
        found = await self._outages.retry_until_up(
            "read outputs", self._store.children, self._run_id, self._fan, first, PAGE
        )
        if not first and not found:  # of a fan-out without children no page is asked for
            raise FanRefused(
                "fan-forgotten",
                f"the store has lost all outputs of the children of job {self._fan}: re-run the run from the stage that fans out",
            )
        outputs: list[tuple[int, bytes]] = []
        size = 0
        for child in found:
            if size > _PAGE_BYTES:
                return Page(outputs, child.index)
            if child.state != "lost":
                outputs.append((child.index, await self._value(child)))
                size += len(outputs[-1][1])
        return Page(outputs, first + PAGE if len(found) == PAGE else None)

    async def _value(self, child: ChildOutput) -> bytes:
        outcome = child.outcome
        if not isinstance(outcome, Done):
            raise FanRefused(
                "fan-forgotten",
                f"the store has lost the output of child {child.index} of job {self._fan}: re-run the run from the stage that "
                "fans out",
            )
        if outcome.reference is UNSET:
            return bytes(outcome.output)
        try:
            return await self._outages.retry_until_up(
                "get payloads", self._store.payloads.get, outcome.reference
            )
        except PayloadUnusable as error:
            raise FanRefused(error.reason, f"the output of child {child.index}: {error}") from error
