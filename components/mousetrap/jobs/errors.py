"""The errors that every edge shares; each is a fact, and its text says what to do.

    MousetrapError
    ├── QueueUnreachable        the broker does not answer
    ├── PublishUnconfirmed      the broker did not say in time whether it has the message
    ├── QueueFull               the broker refused the message
    ├── Unroutable              no such queue
    └── StoreUnreachable        the state store does not answer
        ├── StoreFull           it answers, and has no room
        └── RecordDamaged       it answers, and what it keeps of one job cannot be used

No text of theirs holds a password: addresses are masked before they get here.
"""

import re

#: Where a server is, as the texts name it.
_PLACE = re.compile(r" (?:at|to) (?:\S*:\d{1,5}|/\S+)(?=[\s.,:]|$)")


class MousetrapError(Exception):
    """Something that the caller can act on; the text says how."""

    def outside(self) -> str:
        """The text without the places of servers, for callers who hold no more than a key of the API."""
        return _PLACE.sub("", str(self))


class QueueUnreachable(MousetrapError):
    """The broker cannot be reached: check that it runs and that MOUSETRAP_BROKER_URL names it."""

    def outside(self) -> str:
        """What clients of the broker say can name its host in any form."""
        return "the broker cannot be used now: try again later; the server's log says why"


class PublishUnconfirmed(MousetrapError):
    """The broker has not confirmed the message in time; it may have it or not: publish the same id again."""


class QueueFull(MousetrapError):
    """The broker refused the message, most often because the queue is full: try again later."""


class Unroutable(MousetrapError):
    """The broker has no such queue: a worker or the API of this version declares it when it connects."""


class StoreUnreachable(MousetrapError):
    """The state store cannot be reached: check that it runs and that MOUSETRAP_STORE_URL names it."""

    def outside(self) -> str:
        """What clients of the store say can name its host in any form."""
        return "the store cannot be used now: try again later; the server's log says why"


class RecordDamaged(StoreUnreachable):
    """What the state store keeps of this one job is not what was written there: delete it, then send the job round again."""


class StoreFull(StoreUnreachable):
    """The state store answers and takes no writes, for want of memory or disk: give it more."""

    def outside(self) -> str:
        """As of any other error: it is our own text."""
        return MousetrapError.outside(self)
