"""Keeps the process a member of the consumers, by renewing its key."""

import asyncio
import random
import time
import uuid
from collections.abc import Collection
from contextlib import suppress

from mousetrap.shutdown import end_tasks
from mousetrap.stream_queue.client import BACKOFF, LOST, Client

#: Without a renewal for so long, a member's messages go to other consumers.
MEMBER_LIFETIME_S = 5.0
_RENEWAL_INTERVAL_S = 1.0
_LEAVE_TIMEOUT_S = 3.0


class Member:
    """One consumer name.

    1. Joined: the server holds its key, and deliveries to it can be settled.
    2. Renewed, once a second.
    3. Ended, for good: by leaving, on a doubt about what it received, or `MEMBER_LIFETIME_S` after the last renewal.
       Its deliveries are void; the server puts them back into their queue.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._ended = False
        self._expires_at = 0.0

    def renewed(self) -> None:
        """The server has renewed the key."""
        self._expires_at = time.monotonic() + MEMBER_LIFETIME_S

    def end(self) -> None:
        """Makes its deliveries void."""
        self._ended = True

    def is_active(self) -> bool:
        """False once the key must have expired, and after that for good."""
        # The server set the key before its reply arrived here, so the key expires no later than this.
        if time.monotonic() > self._expires_at:
            self._ended = True
        return not self._ended


class Membership:
    """The active member of this process: joined when needed, renewed, replaced when it ends."""

    def __init__(self, client: Client, name: str, queues: Collection[str]) -> None:
        self._client = client
        self._name = name
        #: The queues that we consume; expired members of them are swept. A view that grows with each subscription.
        self._queues = queues
        self._member = Member("")
        self._joining = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None

    async def current(self) -> Member:
        """The active member. Raises one of LOST."""
        async with self._joining:
            if not self._member.is_active():
                former, member = self._member.name, Member(f"{self._name}-{uuid.uuid4().hex}")
                await self._call("join", member.name, _milliseconds(MEMBER_LIFETIME_S), former)
                member.renewed()
                self._member = member
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._keep_renewing(), name="mousetrap membership")
        return self._member

    async def renew(self) -> None:
        """Renews the key, and puts back the messages of expired members. Raises one of LOST."""
        member = await self.current()
        if await self._call("renew", member.name, _milliseconds(MEMBER_LIFETIME_S)):
            member.renewed()
        else:
            member.end()
            await self.current()

    async def leave(self) -> None:
        """Gives back all unsettled deliveries, if the server answers."""
        await end_tasks(self._renewing)
        self._member.end()
        if self._member.name:
            with suppress(*LOST):  # otherwise the key expires by itself, and other consumers put all back
                await self._call("leave", self._member.name, timeout_s=_LEAVE_TIMEOUT_S)

    async def _keep_renewing(self) -> None:
        failures = 0
        while True:
            try:
                await self.renew()
                failures = 0
            except LOST as error:
                self._client.server.failed(error)
                failures += 1
            await asyncio.sleep(BACKOFF.pause(failures, random.random()) if failures else _RENEWAL_INTERVAL_S)

    async def _call(
        self, function: str, *arguments: str | int, timeout_s: float = MEMBER_LIFETIME_S
    ) -> object:
        return await self._client.call(function, *arguments, list(self._queues), timeout_s=timeout_s)


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
