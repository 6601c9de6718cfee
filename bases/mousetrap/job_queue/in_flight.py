"""Keeps what was sent and is not confirmed, by delivery tag; says what a confirm, a return or a lost channel means for it."""

import asyncio
from collections.abc import Sequence

#: pika buffers without bound: with so many messages unconfirmed, or bytes of them, the next ones wait in line.
_MOST_MESSAGES, _MOST_BYTES = 2_000, 33_554_432


class Pending:
    """A message on its way, and the caller who waits for it."""

    __slots__ = (
        "body",
        "deadline",
        "done",
        "exchange",
        "id",
        "key",
        "properties",
        "queue",
        "retried",
        "returned",
        "sent",
    )

    def __init__(
        self,
        queue: str,
        exchange: str,
        key: str,
        id: str,
        properties: bytes,
        body: bytes,
        deadline: float,
        done: "asyncio.Future[None]",
    ) -> None:
        self.queue = queue
        self.exchange = exchange
        self.key = key
        self.id = id
        self.properties = properties
        self.body = body
        self.deadline = deadline
        self.done = done
        #: Whether a broker may have it.
        self.sent = False
        #: Whether the broker gave it back because no queue would take it.
        self.returned = False
        #: Whether it was published again after its queue was declared again.
        self.retried = False

    def fail(self, error: Exception) -> None:
        """Tells the caller, unless the caller has gone or knows already."""
        if not self.done.done():
            self.done.set_exception(error)


class InFlight:
    """The unconfirmed messages of one channel, oldest first."""

    def __init__(self) -> None:
        self._tag = 0
        self._by_tag: dict[int, Pending] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._by_tag)

    @property
    def has_room(self) -> bool:
        """Whether one more message may be sent; a large one always may when it is alone."""
        return len(self._by_tag) < _MOST_MESSAGES and self._bytes < _MOST_BYTES

    def add(self, pending: Pending) -> None:
        """The broker counts a channel's messages from one, and so do we."""
        self._tag += 1
        self._by_tag[self._tag] = pending
        self._bytes += len(pending.body)
        pending.sent = True

    def confirmed(self, tag: int, multiple: bool) -> Sequence[Pending]:
        """Takes out what a confirm speaks of: one message, or all up to it."""
        if not multiple:
            pending = self._by_tag.pop(tag, None)
            if pending is None:
                return ()
            self._bytes -= len(pending.body)
            return (pending,)
        tags = []
        for each in self._by_tag:
            if each > tag:
                break
            tags.append(each)
        taken = [self._by_tag.pop(each) for each in tags]
        self._bytes -= sum(len(pending.body) for pending in taken)
        return taken

    def returned(self, message_id: str, key: str) -> None:
        """Marks the message that the broker gave back; its confirm comes right after, and tells nothing."""
        for pending in self._by_tag.values():
            if pending.key == key and pending.id == message_id and not pending.returned:
                pending.returned = True
                return

    def late(self, now: float) -> Sequence[Pending]:
        """Takes out what should have been confirmed by `now`."""
        tags = [tag for tag, pending in self._by_tag.items() if pending.deadline <= now]
        taken = [self._by_tag.pop(tag) for tag in tags]
        self._bytes -= sum(len(pending.body) for pending in taken)
        return taken

    def lost(self) -> Sequence[Pending]:
        """Takes out everything, for the channel is gone and the next one counts from one again."""
        taken = list(self._by_tag.values())
        self._by_tag.clear()
        self._tag = self._bytes = 0
        return taken
