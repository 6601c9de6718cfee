"""Declares how a kind of operation finds and tries its targets."""

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, NamedTuple, Protocol

from mousetrap.operations.record import Plan, Target

#: Where a finding begins.
FIRST = "-"
#: Targets of one operation at most: a million runs would fill the store with their ids.
MOST_TARGETS = 100_000


class Fate(NamedTuple):
    """What became of one target. `again`: to be tried once more, after the others."""

    kind: Literal["done", "stale", "failed", "again"]
    #: Of one that failed, or that fails in the end.
    why: str = ""
    #: Whether the targets after it come in another step.
    ends: bool = False
    #: The run that one that is done acted on; of a re-run the new one.
    run_id: str = ""


class Finding(NamedTuple):
    """Some targets that were found."""

    targets: Sequence[Target]
    #: Where the finding goes on; empty at its end.
    after: str = ""
    #: How many more there are than could be looked at; None where some are, and not counted.
    unseen: int | None = 0


class Kind(Protocol):
    """A kind of operation. A MousetrapError of it ends the step: broker or store is away, and the same targets come again."""

    @property
    def has_one_carrier(self) -> bool:
        """Whether one carrier at a time has all operations of this kind."""
        ...

    async def find(self, plan: Plan, after: str) -> Finding:
        """Targets from `after` on."""
        ...

    def act(
        self, operation_id: str, plan: Plan, targets: Sequence[tuple[Target, bool]]
    ) -> AsyncGenerator[Fate, None]:
        """Tries targets in their order, each when its fate is asked for. True: it may have been tried before.

        To try a target twice does the same as once.
        """
        ...


def within_bounds(finding: Finding, plan: Plan, matched: int) -> Finding:
    """As many of the found targets as the operation may still take, beside `matched` others."""
    room = min(plan.limit or MOST_TARGETS, MOST_TARGETS) - matched
    if len(finding.targets) < room or (len(finding.targets) == room and not finding.after):
        return finding
    # A limit is what the caller asked for; at the other bound there may be more.
    unseen = finding.unseen if plan.limit and plan.limit <= MOST_TARGETS else None
    return Finding(finding.targets[:room], "", unseen)
