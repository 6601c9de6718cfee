"""Why an attempt or a run failed."""

from dataclasses import dataclass, replace
from typing import Annotated

from mousetrap.retry import encodable
from mousetrap.shapes.doc import Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureLine:
    """Why an attempt failed, as a list shows it."""

    #: The error's class, with its module.
    kind: Annotated[str, Doc(examples=("mousetrap.earthquakes.contracts.FeedUnavailable",))]
    text: Annotated[str, Doc(examples=("the feed answers 503",))]

    @property
    def summary(self) -> str:
        """`ValueError: text`, or the kind alone where the error has no text."""
        return ": ".join(filter(None, (self.kind.rpartition(".")[2], self.text)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure(FailureLine):
    """The same, with where it failed."""

    # All three are cut to a length that a header and a page can hold, and can always be encoded.
    traceback: str = ""

    def __post_init__(self) -> None:
        for name in ("kind", "text", "traceback"):
            text = getattr(self, name)
            if not text.isascii():
                object.__setattr__(self, name, encodable(text))

    def without_traceback(self) -> "Failure":
        """The same, for where the traceback is not kept: it is by far the largest part."""
        return replace(self, traceback="") if self.traceback else self
