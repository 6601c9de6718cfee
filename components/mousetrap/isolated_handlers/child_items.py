"""Hands the items of an isolated fan-out to the worker."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mousetrap.handlers import AttemptOver
from mousetrap.isolated_handlers.protocol import Item, Kept, NoMoreItems
from mousetrap.pipeline import Payload


@dataclass(slots=True)
class ChildItems:
    """As in the protocol Children; each item waits for the worker's reply."""

    ask: Callable[[Item | NoMoreItems], Awaitable[Kept]]
    count: int = 0

    async def add(self, item: Payload, key: str | None) -> None:
        await self._asked(Item(self.count + 1, item.raw, item.serializer, key))

    async def close(self) -> int:
        return (await self._asked(NoMoreItems(self.count + 1))).children

    async def _asked(self, message: Item | NoMoreItems) -> Kept:
        self.count += 1
        kept = await self.ask(message)
        if kept.reply in ("stale", "over"):
            raise AttemptOver
        return kept
