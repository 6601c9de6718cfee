"""The errors that every edge shares, with advice in their texts.

    MousetrapError
    ├── QueueUnreachable        the broker does not answer
    ├── PublishUnconfirmed      the broker did not confirm the message in time
    ├── QueueFull               the broker refused the message
    ├── Unroutable              no such queue
    ├── PayloadUnusable         a payload that a reference names cannot be used
    │   ├── PayloadMissing      it is not where the reference has it
    │   ├── PayloadNotPut       it was too large to be put anywhere
    │   └── PayloadAltered      it is not what the reference has
    └── StoreUnreachable        the state store, or the store of payloads, does not answer
        ├── StoreFull           it answers, and has no room
        └── RecordDamaged       it answers, and its record of one job is unusable

No text of theirs holds a password: addresses are masked before they get here.
"""

import re

#: The address of a server in a text.
_PLACE = re.compile(r" (?:at|to) (?:\S*:\d{1,5}|/\S+)(?=[\s.,:]|$)")


class MousetrapError(Exception):
    """An error that the caller can act on; the text has the advice."""

    def outside(self) -> str:
        """The text without addresses of servers, for callers who have only a key of the API."""
        return _PLACE.sub("", str(self))


class QueueUnreachable(MousetrapError):
    """The broker cannot be reached: check that it runs and that MOUSETRAP_BROKER_URL names it."""

    def outside(self) -> str:
        """A fixed text, since an error of the broker's client can contain its host in any form."""
        return "the broker cannot be used now: try again later; the server's log has the cause"


class QueueBlocked(QueueUnreachable):
    """The broker takes no messages until it has memory or disk again: consume what it holds, or give it more."""


class PublishUnconfirmed(MousetrapError):
    """The broker has not confirmed the message in time, and may have it or not: publish the same id again."""


class QueueFull(MousetrapError):
    """The broker refused the message, most often because the queue is full: try again later."""


class Unroutable(MousetrapError):
    """The broker has no such queue: `mousetrap migrate` declares it, or a worker or the API that may declare."""


class PayloadUnusable(MousetrapError):
    """The payload that a reference names cannot be used; the text has the reason, and how to correct it."""

    #: The reason of the dead letter of a job whose input it is.
    reason = "payload-unusable"

    def __init__(self, text: str, place: str = "") -> None:
        super().__init__(text)
        #: Where the payload is kept, as the text has it.
        self._place = place

    def outside(self) -> str:
        """The text without the place: a folder's path and a server's address are not for callers."""
        text = str(self)
        return text.replace(self._place, "the store of payloads") if self._place else text


class PayloadMissing(PayloadUnusable):
    """The store of payloads answers, and does not have the payload."""

    reason = "payload-missing"


class PayloadNotPut(PayloadUnusable):
    """The payload was too large to be put anywhere."""

    reason = "too-large"


class PayloadAltered(PayloadUnusable):
    """The store of payloads has other bytes than were put there."""

    reason = "payload-altered"


class StoreUnreachable(MousetrapError):
    """The state store, or the store of payloads, cannot be reached.

    Check that it runs, and that MOUSETRAP_STORE_URL (MOUSETRAP_PAYLOAD_URL) names it.
    """

    def outside(self) -> str:
        """A fixed text, since an error of the store's client can contain its host in any form."""
        return "the store cannot be used now: try again later; the server's log has the cause"


class RecordDamaged(StoreUnreachable):
    """The state store's record of this one job was changed or damaged: delete it, then redrive the job."""


class StoreFull(StoreUnreachable):
    """The state store answers and takes no writes, for lack of memory or disk: give it more."""

    def outside(self) -> str:
        """The text without addresses, as of other errors: it is our own text."""
        return MousetrapError.outside(self)
