"""The outcomes of an attempt."""

import msgspec

from mousetrap.shapes import Failure


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The handler returned a value: the payload of the next stage's job, or the result of the run."""

    #: JSON, under the stage's output contract.
    output: msgspec.Raw


class RetryLater(msgspec.Struct, frozen=True, tag="retry"):
    """The attempt failed and another one may succeed."""

    #: Seconds.
    after: float
    failure: Failure
    #: False after an outage: the same attempt is made again.
    counted: bool = True


class GiveUp(msgspec.Struct, frozen=True, tag="dead"):
    """The job failed for good, and becomes a dead letter."""

    #: One of a few fixed reasons, for grouping: max-retries, not-retryable, contract, crash-loop, …
    reason: str
    failure: Failure


Outcome = Done | RetryLater | GiveUp
