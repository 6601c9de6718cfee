"""Pulls single messages from one stream, and waits for the next one."""

import asyncio
from typing import Any

from mousetrap.jobs import Claim
from mousetrap.shutdown import end_tasks
from mousetrap.stream_queue.client import LOST, Client
from mousetrap.stream_queue.deliveries import OpenDeliveries
from mousetrap.stream_queue.membership import Member
from mousetrap.stream_queue.subscription import Shared

#: The server holds one read for so long if no message comes; then delayed messages that are due are released.
_BLOCK_S = 0.1
_REPLY_TIMEOUT_S = 5.0
_MAX_RELEASED = 500
#: The bound of claims is their user's.
_NO_BOUND = 1_000_000_000


class Puller:
    """The claims of one stream, over a connection of its own; one read at a time.

    A read whose reply is lost may have brought a message: then the member ends, which makes all claims of this process void.
    """

    def __init__(self, queue: str, client: Client, shared: Shared) -> None:
        self._queue = queue
        self._client = client
        self._shared = shared
        self._deliveries: OpenDeliveries | None = None
        self._reads: set[asyncio.Task[Claim | None]] = set()

    async def claim(self, wait: float) -> Claim | None:
        """The next message, as soon as there is one; None after `wait` seconds. Raises one of LOST."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            claim = await self._read_to_the_end(max(0.0, deadline - loop.time()))
            if claim is not None or loop.time() >= deadline:
                return claim

    async def close(self) -> None:
        """Ends the reads under way and closes the connection; what they bring returns when the member leaves."""
        await end_tasks(*self._reads)
        await self._client.close()

    async def _read_to_the_end(self, left: float) -> Claim | None:
        """A read goes on though its caller leaves, and then hands back what it brings."""
        read = asyncio.create_task(self._read(left), name=f"mousetrap claim {self._queue}")
        self._reads.add(read)
        read.add_done_callback(self._reads.discard)
        try:
            return await asyncio.shield(read)
        except asyncio.CancelledError:
            read.add_done_callback(_hand_back)
            raise

    async def _read(self, left: float) -> Claim | None:
        member = await self._shared.membership.current()
        try:
            await self._client.call("release", [self._queue], _MAX_RELEASED, timeout_s=_REPLY_TIMEOUT_S)
            reply = await self._entry(member, left)
        except LOST as error:
            if str(error).startswith("NOGROUP"):  # the server is new, or has lost its data
                await self._shared.declare()
                return None
            member.end()
            raise
        if not reply or not member.is_active():
            return None
        [(entry, fields)] = reply[0][1]
        return self._claims_of(member).add(entry, fields)

    async def _entry(self, member: Member, left: float) -> Any:
        block = ("BLOCK", max(1, int(min(left, _BLOCK_S) * 1000))) if left > 0 else ()
        return await self._client.command(
            *("XREADGROUP", "GROUP", "workers", member.name, "COUNT", 1, *block),
            *("STREAMS", f"mousetrap:queue:{self._queue}", ">"),
            timeout_s=_BLOCK_S + _REPLY_TIMEOUT_S,
        )

    def _claims_of(self, member: Member) -> OpenDeliveries:
        if self._deliveries is None or self._deliveries.member is not member:
            self._deliveries = OpenDeliveries(self._queue, _NO_BOUND, member, self._shared.outbox)
        return self._deliveries


def _hand_back(read: "asyncio.Task[Claim | None]") -> None:
    if not read.cancelled() and read.exception() is None and (claim := read.result()):
        claim.hand_back()
