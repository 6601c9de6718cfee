"""Sends the parts of a response while others are made."""

import asyncio
from collections.abc import Mapping

from starlette.types import Send

from mousetrap.shutdown import end_tasks


class Unsent:
    """The parts that wait for the client to read. It may read only after it has sent all: to be made, no part waits for it.

    Nothing is sent before the first part.
    """

    def __init__(self, send: Send, start: Mapping[str, object], most_bytes: int) -> None:
        self._send = send
        self._start = start
        self._most = most_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._complete = False
        self._ended = False
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._sending: asyncio.Task[None] | None = None

    async def put(self, part: bytes) -> None:
        """Adds a part. Returns once no more than `most_bytes` wait; after the end it does nothing."""
        if self._ended:
            return
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())
            self._sending.add_done_callback(lambda _: self._room.set())
        self._parts.append(part)
        self._size += len(part)
        self._work.set()
        if self._size > self._most and not self._sending.done():
            self._room.clear()
        await self._room.wait()

    async def complete(self) -> None:
        """Returns once all is sent, and the response is complete."""
        await self.put(b"")
        assert self._sending is not None
        self._complete = True
        await self._sending

    async def end(self) -> None:
        """Sends no more."""
        self._ended = True
        await end_tasks(self._sending)

    async def _send_all(self) -> None:
        await self._send({"type": "http.response.start", **self._start})
        while self._parts or not self._complete:
            await self._work.wait()
            self._work.clear()
            body, self._parts = b"".join(self._parts), []
            if body:
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
            self._size -= len(body)
            if self._size <= self._most:
                self._room.set()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
