"""Holds what a consumer was given and has not settled yet."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from mousetrap.job_queue.streams_membership import Member
from mousetrap.job_queue.streams_outbox import Outbox
from mousetrap.jobs import Message


class Hand:
    """The deliveries of one membership from one queue, at most `prefetch` of them."""

    def __init__(self, queue: str, prefetch: int, member: Member, outbox: Outbox) -> None:
        self.queue = queue
        self.member = member
        self.outbox = outbox
        self._room = prefetch
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def room(self, patience: float) -> int:
        """How many more it can hold; 0 if none was settled within `patience` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._has_room.wait()
        return self._room

    def take(self, entry: bytes, fields: list[bytes]) -> "StreamDelivery":
        """Makes a delivery of a stream's entry."""
        self._room -= 1
        if self._room <= 0:
            self._has_room.clear()
        return StreamDelivery(self, entry, dict(zip(fields[::2], fields[1::2], strict=False)))

    def put_down(self) -> None:
        """One of the deliveries is settled."""
        self._room += 1
        self._has_room.set()


class StreamDelivery:
    """As in the protocol Delivery; void once its membership is over."""

    __slots__ = ("_entry", "_hand", "_settled", "message", "redelivered")

    def __init__(self, hand: Hand, entry: bytes, fields: Mapping[bytes, bytes]) -> None:
        self._hand = hand
        self._entry = entry.decode()
        self._settled = False
        self.message = _message(fields)
        self.redelivered = b"redelivered" in fields

    @property
    def queue(self) -> str:
        return self._hand.queue

    def acknowledge(self) -> bool:
        return self._settle(self._hand.outbox.acknowledge)

    def hand_back(self) -> bool:
        return self._settle(self._hand.outbox.hand_back)

    def _settle(self, say: Any) -> bool:
        if self._settled or not self._hand.member.stands():
            return False
        self._settled = True
        say(self._hand.queue, self._entry)
        self._hand.put_down()
        return True


_headers = msgspec.json.Decoder(dict[str, str])


def read_entry(fields: list[bytes]) -> Message:
    """The message that a stream's entry holds."""
    return _message(dict(zip(fields[::2], fields[1::2], strict=False)))


def _message(fields: Mapping[bytes, bytes]) -> Message:
    """Whatever lies in the stream becomes a message: if it is not one of ours, whoever reads its body will see that."""
    headers: dict[str, str] = {}
    if packed := fields.get(b"headers"):
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            headers = _headers.decode(packed)
    return Message(fields.get(b"id", b"").decode(errors="replace"), fields.get(b"body", b""), headers)
