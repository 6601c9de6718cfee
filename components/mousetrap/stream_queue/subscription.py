"""Reads one stream and delivers its messages."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from mousetrap.jobs import Delivery, queues_of
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
    """Deliveries from a queue's streams: its own, and the one of its high queue.

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
        #: That of the high queue first.
        self._sources = queues_of(queue)[::-1]
        self._prefetch = prefetch
        self._receive = receive
        self._client = client
        self._shared = shared
        self._stopping = False
        self._next_release = 0.0
        self._deliveries: Sequence[OpenDeliveries] = ()
        #: How many entries the first source had when it was looked at last.
        self._first_has = 0
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

    async def _current_deliveries(self) -> Sequence[OpenDeliveries]:
        """Those of the present member, of the high queue first."""
        member = await self._shared.membership.current()
        if not self._deliveries or self._deliveries[0].member is not member:
            self._deliveries = [
                OpenDeliveries(name, self._prefetch, member, self._shared.outbox) for name in self._sources
            ]
        return self._deliveries

    async def _release_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next_release:
            released, self._first_has = await self._client.call(
                "release", self._sources, _MAX_RELEASED, timeout_s=_REPLY_TIMEOUT_S
            )
            self._next_release = now + (_RELEASE_INTERVAL_S if released < _MAX_RELEASED else 0.0)

    async def _deliver(self, deliveries: Sequence[OpenDeliveries]) -> None:
        for each in deliveries:
            if each.room <= 0:
                await each.until_room(_FULL_POLL_S)
        free = [each for each in deliveries if each.room > 0]
        if self._stopping or not free:
            return
        if len(free) == len(deliveries):
            await self._read_from(free, ("BLOCK", int(_BLOCK_S * 1000)))
        elif free[0] is not deliveries[0] or self._first_has:
            # Held by the server, the read would keep those that are full from going on as soon as they have room.
            await self._read_from(free, ())

    async def _read_from(self, deliveries: Sequence[OpenDeliveries], block: tuple[str | int, ...]) -> None:
        group = ("GROUP", "workers", deliveries[0].member.name)
        # The server gives as many from each stream.
        options = ("COUNT", min(each.room for each in deliveries), *block)
        streams = (*(f"mousetrap:queue:{each.queue}" for each in deliveries), *">" * len(deliveries))
        reply = await self._client.command(
            "XREADGROUP", *group, *options, "STREAMS", *streams, timeout_s=_BLOCK_S + _REPLY_TIMEOUT_S
        )
        for stream, entries in reply or ():
            queue = stream.decode().removeprefix("mousetrap:queue:")
            self._take(next(each for each in deliveries if each.queue == queue), entries)

    def _take(self, deliveries: OpenDeliveries, entries: Sequence[tuple[bytes, list[bytes]]]) -> None:
        for entry, fields in entries:
            if self._stopping:
                self._shared.outbox.hand_back(deliveries.queue, entry.decode())
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
        if self._deliveries and not isinstance(error, ReplyError):
            self._deliveries[0].member.end()
