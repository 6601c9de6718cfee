"""Replies to what an isolated handler's process asks of its worker."""

import asyncio

from mousetrap.handlers import AttemptOver, Children, FanRefused
from mousetrap.isolated_handlers.child_chunks import served
from mousetrap.isolated_handlers.protocol import (
    Call,
    Chunk,
    GetChunk,
    GetOutputs,
    Item,
    Kept,
    NoMoreItems,
    Outputs,
    PutChunk,
    Yielded,
)
from mousetrap.pipeline import Payload
from mousetrap.retry import error_text

_MAX_TEXT = 1_000


class Asked:
    """What the process of one attempt may ask for."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._children: Children | None = None

    async def reply(
        self, message: Yielded | Item | NoMoreItems | PutChunk | GetChunk | GetOutputs
    ) -> Kept | Chunk | Outputs:
        """The reply. Raises FanRefused, which ends the attempt."""
        match message:
            case Yielded(number, value):
                return Kept(number, await self._call.emit(self._call.info, number, value))
            case Item() | NoMoreItems():
                return await self._kept(message)
            case GetOutputs():
                return await self._outputs(message)
        return await served(message, self._call.chunks)

    async def _kept(self, message: Item | NoMoreItems) -> Kept:
        if self._children is None:
            self._children = self._call.children(self._call.info)
        try:
            if isinstance(message, NoMoreItems):
                return Kept(message.number, "recorded", await self._children.close())
            await self._children.add(Payload(message.raw, message.serializer), message.key)
        except AttemptOver:
            return Kept(message.number, "stale")
        return Kept(message.number, "recorded")

    async def _outputs(self, message: GetOutputs) -> Outputs:
        try:
            pages = self._call.pages(message.fan)
            if pages is None:
                return Outputs(message.number, error="there are no outputs of a fan-out here")
            page = await asyncio.wrap_future(pages.get(message.first))
        except FanRefused as error:
            return Outputs(message.number, error=str(error), reason=error.reason)
        except Exception as error:  # noqa: BLE001  the handler gets it, as it would in the worker
            return Outputs(message.number, error=error_text(error, _MAX_TEXT) or type(error).__name__)
        return Outputs(message.number, tuple(page.outputs), page.next)
