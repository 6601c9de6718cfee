"""The outcomes of an attempt."""

import msgspec

from mousetrap.shapes import Failure, Reference


class GiveUp(msgspec.Struct, frozen=True, tag="dead"):
    """The job failed for good, and becomes a dead letter."""

    #: One of a few fixed reasons, for grouping: max-retries, not-retryable, contract, crash-loop, …
    reason: str
    failure: Failure


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The handler returned a value: the payload of the next stage's job, or the result of the run."""

    #: JSON, under the stage's output contract; with a serializer, the base64 text of what that wrote for the next stage.
    output: msgspec.Raw
    #: What wrote the output; not there for JSON, as the result of a run always is.
    serializer: str | msgspec.UnsetType = msgspec.UNSET
    #: Where the output is, when it is too large for a message; then `output` is null.
    reference: Reference | msgspec.UnsetType = msgspec.UNSET
    #: The stage that takes it, where its type has selected one of several; empty where none does, though some follow.
    next: str | msgspec.UnsetType = msgspec.UNSET
    #: What its handler ended with, where the stage has the run go on all the same: then the output is null, or a Fallen.
    instead_of: GiveUp | msgspec.UnsetType = msgspec.UNSET
    #: How many children the job has opened; then `output` is null.
    children: int | msgspec.UnsetType = msgspec.UNSET
    #: The stages that each take the output, one child of the job in each, where all of several follow.
    forks: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def ends_way(self) -> bool:
        """Whether nothing that follows the job's stage runs: it was given up, and its stage has that end its way."""
        return self.next == ""

    @property
    def opens(self) -> int | None:
        """How many children the job has; None for one that has no fan."""
        if self.forks is not msgspec.UNSET:
            return len(self.forks)
        return None if self.children is msgspec.UNSET else self.children


class RetryLater(msgspec.Struct, frozen=True, tag="retry"):
    """The attempt failed and another one may succeed."""

    #: Seconds.
    after: float
    failure: Failure
    #: False after an outage: the same attempt is made again.
    counted: bool = True


Outcome = Done | RetryLater | GiveUp
