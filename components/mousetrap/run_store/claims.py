"""What a worker that asks for a job is told."""

from dataclasses import dataclass
from typing import Any

import msgspec

from mousetrap.jobs import Done, GiveUp, Outcome, RetryLater


@dataclass(frozen=True, slots=True)
class Granted:
    """The job is yours, under a fence that grows with each claim."""

    fence: int
    #: How often this attempt was begun, this time included; above 1, an earlier worker died over it.
    starts: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker holds the job; its claim ends in so many seconds unless it is renewed."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Decided:
    """The outcome is on record, but perhaps nobody lived to act on it: act on it again, the ids make that harmless."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing is left to do for this message."""


Claim = Granted | Busy | Decided | Over

_outcomes = msgspec.json.Decoder(Done | RetryLater | GiveUp)


def read_claim(reply: list[Any]) -> Claim:
    """The claim that the store's reply stands for."""
    match reply:
        case ["granted", fence, starts]:
            return Granted(fence, starts)
        case ["busy", milliseconds]:
            return Busy(milliseconds / 1000)
        case ["decided", verdict, milliseconds] if verdict:
            return Decided(_due(_outcomes.decode(verdict), milliseconds / 1000))
        case _:
            return Over()


def _due(outcome: Outcome, seconds: float) -> Outcome:
    return RetryLater(seconds, outcome.failure) if isinstance(outcome, RetryLater) else outcome
