"""Declares what a fallback stage takes."""

from typing import Generic, TypeVar

import msgspec

I = TypeVar("I")


class Fallen(msgspec.Struct, Generic[I], frozen=True):
    """A job that was given up, as the stage that its own falls back to takes it."""

    #: The stage whose job it is.
    stage: str
    #: What that stage took.
    input: I
    #: Why it was given up: max-retries, not-retryable, contract, crash-loop, …
    reason: str
    #: The error's type, and its text.
    kind: str
    text: str
    #: How many there were.
    attempts: int
