"""Writes the audit trail beside the acts, and reads it by page."""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import msgspec

from mousetrap.jobs import MousetrapError
from mousetrap.shapes import AuditEntry, AuditPage
from mousetrap.shutdown import end_tasks
from mousetrap.store_client import Command, ReplyError, StoreClient, address, open_client, reaching

#: About so many entries are kept; of a few hundred bytes each, they take a few megabytes of the store.
MOST_ENTRIES = 10_000
#: Entries that wait for a store that is away; the oldest are left out then. The log has all.
_MOST_WAITING = 1_000
#: Between two tries while the store is away, and the longest that the end of the process waits for the last entries.
_AGAIN_S, _LAST_S = 1.0, 2.0
#: Entries read in one round trip.
_CHUNK = 500
_KEY = "mousetrap:audit"

_log = logging.getLogger("mousetrap.audit_trail")


@asynccontextmanager
async def open_trail(url: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator["AuditTrail"]:
    """The trail in the store at `url`, which need not be reachable yet. At the end the last entries are written, if it is."""
    client = open_client(url, tls)
    trail = AuditTrail(client, address(url))
    writing = asyncio.create_task(trail.write())
    try:
        yield trail
    finally:
        with suppress(MousetrapError, TimeoutError):
            await asyncio.wait_for(trail.written(), _LAST_S)
        await end_tasks(writing)
        await client.close()


class AuditTrail:
    """The trail of one store."""

    def __init__(self, client: StoreClient, place: str) -> None:
        self._client = client
        self._place = place
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)
        #: Whether entries were left out since the store was there.
        self._is_short = False
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def note(self, entry: AuditEntry) -> None:
        """Puts an entry in line to be written. Never fails, and never waits."""
        if len(self._waiting) == _MOST_WAITING and not self._is_short:
            self._is_short = True
            _log.warning("entries are left out of the audit trail, for the store is away: the log has them")
        self._waiting.append(msgspec.json.encode(entry))
        self._idle.clear()
        self._news.set()

    async def write(self) -> None:
        """Writes what is noted, until it is cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                try:
                    await self._write_first()
                except MousetrapError:
                    await asyncio.sleep(_AGAIN_S)
            self._is_short = False
            self._idle.set()

    async def written(self) -> None:
        """Returns once all that is noted is on the trail."""
        await self._idle.wait()

    async def page(
        self, *, limit: int, after: str | None = None, act: str | None = None, who: str | None = None
    ) -> AuditPage:
        """Entries from before the one with the id `after`, newest first. Raises StoreUnreachable."""
        found: list[AuditEntry] = []
        with reaching(self._place):
            while True:
                chunk: list[Any] = await self._client.call(
                    "XREVRANGE", _KEY, f"({after}" if after else "+", "-", "COUNT", _CHUNK
                )
                for id, fields in chunk:
                    if len(found) == limit:
                        return AuditPage(entries=tuple(found), next=after)
                    after = id.decode()
                    entry = _read(after, fields)
                    if entry is not None and act in (None, entry.act) and who in (None, entry.who):
                        found.append(entry)
                if len(chunk) < _CHUNK:
                    return AuditPage(entries=tuple(found))

    async def _write_first(self) -> None:
        """Writes one round trip's worth; an entry leaves the line only once it is on the trail."""
        some = [*self._waiting][:_CHUNK]
        commands: Sequence[Command] = [
            ("XADD", _KEY, "MAXLEN", "~", MOST_ENTRIES, "*", "entry", entry) for entry in some
        ]
        with reaching(self._place):
            for reply in await self._client.pipeline(commands):
                if isinstance(reply, ReplyError):
                    raise reply
                # One that was left out meanwhile is not at the front any more.
                if self._waiting and self._waiting[0] is some[0]:
                    self._waiting.popleft()
                some.pop(0)


def _read(id: str, fields: Sequence[bytes]) -> AuditEntry | None:
    """The entry; None for what is none, for anything can be in the store."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return replace(msgspec.json.decode(dict(_pairs(fields)).get(b"entry", b""), type=AuditEntry), id=id)
    return None


def _pairs(fields: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(fields[::2], fields[1::2], strict=False))
