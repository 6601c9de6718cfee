"""Keeps sent messages by delivery tag until the broker confirms them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

#: pika buffers without limit: above so many unconfirmed messages, or bytes of them, later messages wait.
_MAX_MESSAGES, _MAX_BYTES = 2_000, 33_554_432


@dataclass(slots=True, eq=False, kw_only=True)
class Pending:
    """A message to publish, and its caller, who awaits `done`.

    1. Waiting: no channel, a blocked broker, or too many messages in flight.
    2. Sent: the broker may have it.
    3. One of these sets `done`:
       confirmed   the broker has it
       refused     its queue is full
       returned    its queue is missing; declared again and published once more (waiting), then unroutable
       late        past its deadline: unconfirmed if it was sent, unreachable if it was not
       closed      the publisher was closed first: as late
    4. When the channel is lost while it is sent, it is waiting again, in front of later messages.
    """

    queue: str
    exchange: str
    key: str
    id: str
    properties: bytes
    body: bytes
    deadline: float
    done: "asyncio.Future[None]"
    #: Whether a broker may have it.
    sent: bool = False
    #: Whether the broker returned it because no queue takes it.
    returned: bool = False
    #: Whether it was published again after its queue was declared again.
    retried: bool = False

    def fail(self, error: Exception) -> None:
        """Raises `error` at the caller, unless the caller has left or has its result."""
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
        return len(self._by_tag) < _MAX_MESSAGES and self._bytes < _MAX_BYTES

    def add(self, pending: Pending) -> None:
        """Adds a message under the next tag: the broker counts a channel's messages from one."""
        self._tag += 1
        self._by_tag[self._tag] = pending
        self._bytes += len(pending.body)
        pending.sent = True

    def confirmed(self, tag: int, multiple: bool) -> Sequence[Pending]:
        """Removes the confirmed message, or with `multiple` all messages up to it."""
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
        return self._remove(tags)

    def returned(self, message_id: str, key: str) -> None:
        """Marks the message that the broker returned. Its confirm comes right after, and has no meaning."""
        for pending in self._by_tag.values():
            if pending.key == key and pending.id == message_id and not pending.returned:
                pending.returned = True
                return

    def late(self, now: float) -> Sequence[Pending]:
        """Removes the messages whose deadline has passed."""
        return self._remove([tag for tag, pending in self._by_tag.items() if pending.deadline <= now])

    def lost(self) -> Sequence[Pending]:
        """Removes all messages: the channel is lost, and the next one counts from one again."""
        removed = list(self._by_tag.values())
        self._by_tag.clear()
        self._tag = self._bytes = 0
        return removed

    def _remove(self, tags: Sequence[int]) -> Sequence[Pending]:
        removed = [self._by_tag.pop(tag) for tag in tags]
        self._bytes -= sum(len(pending.body) for pending in removed)
        return removed
