"""Reads one stream on a connection of its own, and hands out what comes, as much as may be unsettled."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from redis.exceptions import ResponseError

from mousetrap.job_queue.streams_delivery import Hand
from mousetrap.job_queue.streams_line import LOST, Line, pause
from mousetrap.job_queue.streams_membership import Membership
from mousetrap.job_queue.streams_outbox import Outbox
from mousetrap.jobs import Delivery
from mousetrap.shutdown import end_tasks

_log = logging.getLogger("mousetrap.job_queue")

#: Seconds that a read waits for a message; a stop takes as long. And that an answer may take beyond it.
_BLOCK, _ANSWER = 0.1, 5.0
#: Seconds between looks at the connection while nothing more may be held.
_FULL = 0.02
#: Seconds between looks for delayed messages whose time has come, and how many of them one look lets through.
_LOOK, _RELEASED = 0.05, 500


class StreamSubscription:
    """As in the protocol Subscription."""

    def __init__(
        self,
        queue: str,
        prefetch: int,
        receive: Callable[[Delivery], None],
        *,
        line: Line,
        membership: Membership,
        outbox: Outbox,
        declare: Callable[[], Awaitable[None]],
    ) -> None:
        self._queue = queue
        self._prefetch = prefetch
        self._receive = receive
        self._line = line
        self._membership = membership
        self._outbox = outbox
        self._declare = declare
        self._stopping = False
        self._next_look = 0.0
        self._hand: Hand | None = None
        self._begun = asyncio.Event()
        self._reader = asyncio.create_task(self._read(), name=f"mousetrap consume {queue}")

    @property
    def over(self) -> bool:
        """Whether it was stopped; what it delivered is settled without it."""
        return self._reader.done()

    async def begun(self) -> None:
        """As in the protocol Subscription."""
        await self._begun.wait()

    async def stop(self) -> None:
        """As in the protocol Subscription."""
        self._stopping = True
        await asyncio.wait([self._reader])
        await self._line.close()

    async def abandon(self) -> None:
        """Stops at once; what the server has given us meanwhile comes back when the membership ends."""
        self._stopping = True
        await end_tasks(self._reader)
        await self._line.close()

    async def _read(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                await self._line.look()
                hand = await self._current_hand()
                await self._release_due()
                self._begun.set()
                await self._fill(hand)
                failures = 0
            except LOST as error:
                failures += 1
                await self._mend(error)
                await asyncio.sleep(pause(failures, random.random()))

    async def _current_hand(self) -> Hand:
        member = await self._membership.current()
        if self._hand is None or self._hand.member is not member:
            self._hand = Hand(self._queue, self._prefetch, member, self._outbox)
        return self._hand

    async def _release_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next_look:
            released = await self._line.step("release", self._queue, _RELEASED, patience=_ANSWER)
            self._next_look = now + (_LOOK if released < _RELEASED else 0.0)

    async def _fill(self, hand: Hand) -> None:
        room = await hand.room(_FULL)
        if room <= 0 or self._stopping:
            return
        group = ("GROUP", "workers", hand.member.name)
        bounds = ("COUNT", room, "BLOCK", int(_BLOCK * 1000))
        streams = ("STREAMS", f"mousetrap:queue:{self._queue}", ">")
        answer = await self._line.ask("XREADGROUP", *group, *bounds, *streams, patience=_BLOCK + _ANSWER)
        for entry, fields in answer[0][1] if answer else ():
            if self._stopping:
                self._outbox.hand_back(self._queue, entry.decode())
            elif hand.member.stands():  # else others get it, as all that this member had
                self._receive(hand.take(entry, fields))

    async def _mend(self, error: Exception) -> None:
        if str(error).startswith("NOGROUP"):  # the server is there, but new, or it has lost its data
            _log.info("queue %s is not on Valkey at %s: making it", self._queue, self._line.server)
            with suppress(*LOST):
                await self._declare()
            return
        self._line.server.struck(error)
        if self._hand is not None and not isinstance(error, ResponseError):
            # An answer that was lost may have held deliveries, which are ours for the server and unknown to us.
            self._hand.member.end()
