"""Holds the two replies of an outcome recorded beside its publish."""

import msgspec

from mousetrap.jobs import MousetrapError
from mousetrap.run_store import Decision
from mousetrap.worker.endings import Publish


class Beside(msgspec.Struct):
    """What became of an outcome's record and of the message that follows, which left in one turn.

    Either may be first, and either may fail. They are judged together, once both are known.
    """

    following: Publish
    #: The store's reply, or its error.
    decision: Decision | BaseException | None = None
    #: Whether the queue has replied, and its error where it may not have the message.
    is_settled: bool = False
    error: MousetrapError | None = None

    def settled(self, error: MousetrapError | None) -> None:
        """The queue has replied."""
        self.is_settled, self.error = True, error

    @property
    def posted(self) -> Publish | None:
        """What the queue is known to have."""
        return self.following if self.is_settled and self.error is None else None
