"""What became of an attempt, as a value: decided first, acted on afterwards."""

import msgspec

from mousetrap.retry import encodable


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt failed; kept for people, so cut to a length that a header and a page can hold.

    Its texts can always be encoded, whatever they were made of.
    """

    #: The error's class, with its module.
    kind: str
    text: str
    traceback: str = ""

    def __post_init__(self) -> None:
        for name in ("kind", "text", "traceback"):
            text = getattr(self, name)
            if not text.isascii():
                msgspec.structs.force_setattr(self, name, encodable(text))

    def without_traceback(self) -> "Failure":
        """The same, for where the traceback is not kept: it is by far the largest part."""
        return msgspec.structs.replace(self, traceback="") if self.traceback else self


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
