"""Reads one stream and delivers its messages."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from mousetrap.jobs import Delivery
from mousetrap.shutdown import end_tasks
from mousetrap.store_client import ReplyError
from mousetrap.stream_queue.client import BACKOFF, LOST, Client
from mousetrap.stream_queue.deliveries import OpenDeliveries
from mousetrap.stream_queue.membership import Membership
from mousetrap.stream_queue.outbox import Outbox

_log = logging.getLogger("mousetrap.stream_queue")

#: The server holds a read for so long if no message comes; a stop takes as long.
_BLOCK_S = 0.1
_REPLY_TIMEOUT_S = 5.0
#: Between checks of the connection while no more deliveries fit.
_FULL_POLL_S = 0.02
#: Between looks for delayed messages that are due, and how many of them one look releases.
_RELEASE_INTERVAL_S, _MAX_RELEASED = 0.05, 500


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts of a queue that all its subscriptions use."""

    membership: Membership
    outbox: Outbox
    declare: Callable[[], Awaitable[None]]


class StreamSubscription:
    """Deliveries from one stream.

    1. A task joins as a member, releases delayed messages that are due, and reads as many entries as fit.
    2. When the connection is lost, the member ends: a lost reply may have held deliveries that the server counts as ours.
       The task goes on with a new member after a pause.
    3. When the stream is missing, the task declares the queues again.
    4. `stop` waits for the read in progress and hands back what it brings; `abandon` cancels it.
    """

    def __init__(
        self,
        queue: str,
        prefetch: int,
        receive: Callable[[Delivery], None],
        client: Client,
        shared: Shared,
    ) -> None:
        self._queue = queue
        self._prefetch = prefetch
        self._receive = receive
        self._client = client
        self._shared = shared
        self._stopping = False
        self._next_release = 0.0
        self._deliveries: OpenDeliveries | None = None
        self._begun = asyncio.Event()
        self._reader = asyncio.create_task(self._read(), name=f"mousetrap consume {queue}")

    @property
    def ended(self) -> bool:
        """Whether it was stopped; its deliveries can be settled after that."""
        return self._reader.done()

    async def begun(self) -> None:
        await self._begun.wait()

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.wait([self._reader])
        await self._client.close()

    async def abandon(self) -> None:
        """Stops at once; what the server delivered in between comes back when the membership ends."""
        self._stopping = True
        await end_tasks(self._reader)
        await self._client.close()

    async def _read(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                self._client.detect_close()
                deliveries = await self._current_deliveries()
                await self._release_due()
                self._begun.set()
                await self._deliver(deliveries)
                failures = 0
            except LOST as error:
                failures += 1
                await self._recover(error)
                await asyncio.sleep(BACKOFF.pause(failures, random.random()))

    async def _current_deliveries(self) -> OpenDeliveries:
        member = await self._shared.membership.current()
        if self._deliveries is None or self._deliveries.member is not member:
            self._deliveries = OpenDeliveries(self._queue, self._prefetch, member, self._shared.outbox)
        return self._deliveries

    async def _release_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next_release:
            released = await self._client.call(
                "release", self._queue, _MAX_RELEASED, timeout_s=_REPLY_TIMEOUT_S
            )
            self._next_release = now + (_RELEASE_INTERVAL_S if released < _MAX_RELEASED else 0.0)

    async def _deliver(self, deliveries: OpenDeliveries) -> None:
        room = await deliveries.room(_FULL_POLL_S)
        if room <= 0 or self._stopping:
            return
        group = ("GROUP", "workers", deliveries.member.name)
        options = ("COUNT", room, "BLOCK", int(_BLOCK_S * 1000))
        streams = ("STREAMS", f"mousetrap:queue:{self._queue}", ">")
        reply = await self._client.command(
            "XREADGROUP", *group, *options, *streams, timeout_s=_BLOCK_S + _REPLY_TIMEOUT_S
        )
        for entry, fields in reply[0][1] if reply else ():
            if self._stopping:
                self._shared.outbox.hand_back(self._queue, entry.decode())
            elif (
                deliveries.member.is_active()
            ):  # otherwise other consumers receive it, as all else of this member
                self._receive(deliveries.add(entry, fields))

    async def _recover(self, error: Exception) -> None:
        if str(error).startswith("NOGROUP"):  # the server is there, but new, or it has lost its data
            _log.info("queue %s is not on Valkey at %s: making it", self._queue, self._client.server)
            with suppress(*LOST):
                await self._shared.declare()
            return
        self._client.server.failed(error)
        if self._deliveries is not None and not isinstance(error, ReplyError):
            self._deliveries.member.end()
