"""Counts the open deliveries of one subscription, and settles them."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from mousetrap.jobs import DEFAULT_PRIORITY, Message, stage_queue
from mousetrap.stream_queue.membership import Member
from mousetrap.stream_queue.outbox import Outbox


class OpenDeliveries:
    """The unsettled deliveries of one member from one queue, at most `prefetch` of them."""

    def __init__(self, queue: str, prefetch: int, member: Member, outbox: Outbox) -> None:
        #: What they are taken from, and the queue that they are of: a high queue's are its stage's.
        self.queue, self.stage_queue = queue, stage_queue(queue)
        self.member = member
        self.outbox = outbox
        #: How many more fit.
        self.room = prefetch
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def until_room(self, timeout_s: float) -> None:
        """Returns once one more fits, or none was settled in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._has_room.wait()

    def add(self, entry: bytes, fields: list[bytes]) -> "StreamDelivery":
        """Makes a delivery of a stream's entry."""
        self.room -= 1
        if self.room <= 0:
            self._has_room.clear()
        return StreamDelivery(self, entry, _by_name(fields))

    def settled(self) -> None:
        """One of the deliveries is settled."""
        self.room += 1
        self._has_room.set()


class StreamDelivery:
    """A message to settle; void once its membership has ended."""

    __slots__ = ("_deliveries", "_entry", "_settled", "message", "queue", "redelivered")

    def __init__(self, deliveries: OpenDeliveries, entry: bytes, fields: Mapping[bytes, bytes]) -> None:
        self._deliveries = deliveries
        self.queue = deliveries.stage_queue
        self._entry = entry.decode()
        self._settled = False
        self.message = _message(fields)
        self.redelivered = b"redelivered" in fields

    @property
    def since_ms(self) -> int:
        return int(self._entry.partition("-")[0])

    def acknowledge(self) -> bool:
        return self._settle(self._deliveries.outbox.acknowledge)

    def hand_back(self) -> bool:
        return self._settle(self._deliveries.outbox.hand_back)

    def reject(self) -> bool:
        return self._settle(self._deliveries.outbox.reject)

    def is_void(self) -> bool:
        return not self._deliveries.member.is_active()

    def _settle(self, send: Callable[[str, str], None]) -> bool:
        if self._settled or not self._deliveries.member.is_active():
            return False
        self._settled = True
        send(self._deliveries.queue, self._entry)
        self._deliveries.settled()
        return True


_headers = msgspec.json.Decoder(dict[str, str])


def read_entry(fields: list[bytes]) -> Message:
    """The message of a stream's entry."""
    return _message(_by_name(fields))


def _by_name(fields: list[bytes]) -> Mapping[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=False))


def _message(fields: Mapping[bytes, bytes]) -> Message:
    """Any entry becomes a message; the reader of the body finds out whether it is one of ours."""
    headers: dict[str, str] = {}
    if packed := fields.get(b"headers"):
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            headers = _headers.decode(packed)
    priority = fields.get(b"priority", b"")
    return Message(
        fields.get(b"id", b"").decode(errors="replace"),
        fields.get(b"body", b""),
        headers,
        int(priority) if priority.isdigit() else DEFAULT_PRIORITY,
    )
