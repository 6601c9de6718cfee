"""Reads payloads of one moment together."""

import asyncio
from collections import deque
from typing import Any, NamedTuple

from mousetrap.store_client import Command, StoreClient


class _Wanted(NamedTuple):
    command: Command
    size: int
    future: "asyncio.Future[Any]"


class Reads:
    """Gathers what is asked for in one turn of the event loop into calls of at most `most` bytes.

    Jobs that begin together read their payloads together: sixteen of 64 KiB in one call, in the place of sixteen calls over
    four connections, after each of which the worker went on with a few jobs alone.
    """

    def __init__(self, client: StoreClient, calls: asyncio.Semaphore, most: int) -> None:
        self._client = client
        self._calls = calls
        self._most = most
        self._waiting: deque[_Wanted] = deque()
        self._sending: set[asyncio.Task[None]] = set()

    def get(self, command: Command, size: int) -> "asyncio.Future[Any]":
        """The reply to come, of about `size` bytes. It raises as `StoreClient.call` does."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Wanted(command, size, future))
        if len(self._waiting) == 1:
            self._start()
        return future

    def _start(self) -> None:
        sending = asyncio.create_task(self._send_waiting(), name="read payloads")
        self._sending.add(sending)
        sending.add_done_callback(self._ended)

    def _ended(self, sending: "asyncio.Task[None]") -> None:
        """Code that is not ours can have cancelled it, even before it began."""
        self._sending.discard(sending)
        if self._waiting and not self._sending:
            self._start()

    async def _send_waiting(self) -> None:
        while self._waiting:
            async with self._calls:
                await self._send(self._next())

    def _next(self) -> list[_Wanted]:
        """The oldest that wait, as many as one call may have; what is larger goes alone."""
        taken: list[_Wanted] = []
        room = self._most
        while self._waiting and (not taken or self._waiting[0].size <= room):
            taken.append(self._waiting.popleft())
            room -= taken[-1].size
        return taken

    async def _send(self, together: list[_Wanted]) -> None:
        try:
            replies = await self._client.pipeline([it.command for it in together])
        except Exception as error:  # noqa: BLE001  without a reply or an error, a caller would wait without end
            replies = [error] * len(together)
        except BaseException:
            _give(together, [ConnectionError("the call was cancelled")] * len(together))
            raise
        _give(together, replies)


def _give(together: list[_Wanted], replies: list[Any]) -> None:
    for wanted, reply in zip(together, replies, strict=True):
        if wanted.future.done():
            continue  # its caller has left
        if isinstance(reply, Exception):
            wanted.future.set_exception(reply)
        else:
            wanted.future.set_result(reply)
