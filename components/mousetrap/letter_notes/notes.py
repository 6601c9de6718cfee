"""Writes and reads notes on groups of dead letters."""

import hashlib
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import msgspec

from mousetrap.shapes import LetterNote
from mousetrap.store_client import ReplyError, StoreClient, address, open_client, reaching

#: Notes that are kept, and characters of one: half a megabyte of the store at most.
MOST_NOTES, MOST_CHARACTERS = 500, 1_000
#: Since the last note of all.
_KEPT_MS = 90 * 86_400_000
_KEY = "mousetrap:letter_notes"


class Noted(NamedTuple):
    """The group that a note is on."""

    queue: str
    reason: str
    #: Empty where the broker put the letters aside.
    error_kind: str

    @property
    def field(self) -> str:
        """Its name in the hash. A name from a message can be of any length."""
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()


@asynccontextmanager
async def open_notes(url: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator["LetterNotes"]:
    """The notes in the store at `url`, which need not be reachable yet."""
    client = open_client(url, tls)
    try:
        yield LetterNotes(client, address(url))
    finally:
        await client.close()


class LetterNotes:
    """The notes of one store. Every method raises StoreUnreachable."""

    def __init__(self, client: StoreClient, place: str) -> None:
        self._client = client
        self._place = place

    async def of(self, groups: Sequence[Noted]) -> list[LetterNote | None]:
        """The note on each group, in their order; None for none."""
        if not groups:
            return []
        with reaching(self._place):
            found = await self._client.call("HMGET", _KEY, *(group.field for group in groups))
        return [_read(each) for each in found]

    async def put(self, group: Noted, note: LetterNote) -> None:
        """Writes the note on the group, in place of a former one; an empty text takes that away."""
        with reaching(self._place):
            if not note.text:
                await self._client.call("HDEL", _KEY, group.field)
                return
            value = msgspec.json.encode(note)
            for reply in await self._client.pipeline(
                [("HSET", _KEY, group.field, value), ("PEXPIRE", _KEY, _KEPT_MS)]
            ):
                if isinstance(reply, ReplyError):
                    raise reply
            await self._make_room()

    async def _make_room(self) -> None:
        """Takes the oldest notes away where there are too many. Two that do it at once take away the same ones."""
        if (over := await self._client.call("HLEN", _KEY) - MOST_NOTES) <= 0:
            return
        row = await self._client.call("HGETALL", _KEY)
        notes = [(_read(value), name) for name, value in zip(row[::2], row[1::2], strict=True)]
        oldest = sorted(notes, key=lambda each: each[0].at_ms if each[0] else 0)
        await self._client.call("HDEL", _KEY, *(name for _, name in oldest[:over]))


def _read(value: bytes | None) -> LetterNote | None:
    """The note; None for none, for anything can be in the store."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.decode(value, type=LetterNote) if value else None
    return None
