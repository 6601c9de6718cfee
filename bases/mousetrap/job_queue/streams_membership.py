"""Keeps our place among a queue's consumers: a name that the server takes for alive while we keep renewing its key."""

import asyncio
import random
import uuid
from collections.abc import Collection
from contextlib import suppress

from mousetrap.job_queue.streams_line import LOST, Line, pause
from mousetrap.shutdown import end_tasks

#: Seconds without a renewal after which others get what we were given; and between renewals.
LAPSE, _RENEWAL = 5.0, 1.0
#: Seconds that leaving may take.
_GOODBYE = 3.0


class Member:
    """One name, for one life: what was delivered to it is void once it is over."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._over = False
        self._until = 0.0

    def renewed(self) -> None:
        """The server has set the key anew."""
        self._until = asyncio.get_running_loop().time() + LAPSE

    def end(self) -> None:
        self._over = True

    def stands(self) -> bool:
        """False from the moment when the key must have lapsed, and from then on for good."""
        # The key was set before we heard of it, so it lapses no later than this.
        if asyncio.get_running_loop().time() > self._until:
            self._over = True
        return not self._over


class Membership:
    """Joins, renews, and joins anew under another name when a membership is over."""

    def __init__(self, line: Line, name: str, queues: Collection[str]) -> None:
        self._line = line
        self._name = name
        #: Those that we consume, whose lost members we look after; a view that grows as we subscribe.
        self._queues = queues
        self._member = Member("")
        self._joining = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    async def current(self) -> Member:
        """The membership that stands. Raises one of LOST."""
        async with self._joining:
            if not self._member.stands():
                former, member = self._member.name, Member(f"{self._name}-{uuid.uuid4().hex}")
                await self._line.step(
                    "join", member.name, _milliseconds(LAPSE), former, list(self._queues), patience=LAPSE
                )
                member.renewed()
                self._member = member
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="mousetrap membership")
        return self._member

    async def renew(self) -> None:
        """Says that we are alive, and puts back what the dead were given. Raises one of LOST."""
        member = await self.current()
        if await self._line.step(
            "renew", member.name, _milliseconds(LAPSE), list(self._queues), patience=LAPSE
        ):
            member.renewed()
        else:
            member.end()
            await self.current()

    async def leave(self) -> None:
        """Gives back all that we were given and have not settled, if the server answers."""
        await end_tasks(self._keeper)
        self._member.end()
        if self._member.name:
            with suppress(*LOST):  # then our key lapses by itself, and others put it all back
                await self._line.step("leave", self._member.name, list(self._queues), patience=_GOODBYE)

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                await self.renew()
                failures = 0
            except LOST as error:
                self._line.server.struck(error)
                failures += 1
            await asyncio.sleep(pause(failures, random.random()) if failures else _RENEWAL)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
