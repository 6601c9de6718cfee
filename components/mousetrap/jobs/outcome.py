"""What became of an attempt, as a value: decided first, acted on afterwards."""

import msgspec

from mousetrap.shapes import Failure


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The handler gave a value; the next stage's job carries it, or the run ends with it."""

    #: JSON, under the stage's output contract.
    output: msgspec.Raw


class RetryLater(msgspec.Struct, frozen=True, tag="retry"):
    """The attempt failed and another one may succeed."""

    #: Seconds.
    after: float
    failure: Failure
    #: False where the attempt met an outage: then the same one is made again.
    counted: bool = True


class GiveUp(msgspec.Struct, frozen=True, tag="dead"):
    """The job failed for good; it is kept among the dead letters, with its story."""

    #: One of a few fixed words, for grouping: max-retries, not-retryable, contract, crash-loop, …
    reason: str
    failure: Failure


Outcome = Done | RetryLater | GiveUp
