"""Redrives or discards dead letters in batches, and sums the replies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from mousetrap.shapes import Discarded, Operation, Redriven

#: Letters in one request, so that progress can be shown between two.
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """The sum of several replies."""

    matched: int
    left: int
    unseen: int
    redriven: int = 0
    discarded: int = 0
    #: Dropped, because their jobs have gone on without them.
    stale: int = 0

    @classmethod
    def of(cls, reply: Redriven | Discarded) -> Self:
        """The sum of one reply."""
        counts = {"matched": reply.matched, "left": reply.left, "unseen": reply.unseen}
        if isinstance(reply, Redriven):
            return cls(**counts, redriven=reply.redriven, stale=reply.stale)
        return cls(**counts, discarded=reply.discarded)

    @classmethod
    def of_operation(cls, operation: Operation) -> Self:
        """What an operation redrove."""
        return cls(
            matched=operation.matched,
            left=operation.left + operation.failed,
            unseen=operation.unseen or 0,
            redriven=operation.done,
            stale=operation.stale,
        )

    @property
    def removed(self) -> int:
        """How many letters are gone."""
        return self.redriven + self.discarded + self.stale

    def plus(self, later: Self) -> Self:
        """The sum with a later request for the letters that were left."""
        removed = self.removed + later.removed
        return type(self)(
            matched=self.matched,
            left=max(0, self.matched - removed),
            unseen=later.unseen,
            redriven=self.redriven + later.redriven,
            discarded=self.discarded + later.discarded,
            stale=self.stale + later.stale,
        )


def in_batches(request: Callable[[int], Discarded], show: Callable[[Repaired], None]) -> Repaired:
    """Repeats `request`, which takes a limit, for as many letters as matched at first; `show` gets each sum.

    Letters that die again in this time are not redriven again.
    """
    total = more = Repaired.of(request(_BATCH))
    while total.left and more.removed:
        show(total)
        more = Repaired.of(request(min(_BATCH, total.left)))
        total = total.plus(more)
    return total
