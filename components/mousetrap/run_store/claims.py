"""What a worker that asks for a job is told."""

from typing import Any

import msgspec

from mousetrap.jobs import Done, GiveUp, Outcome, RetryLater


class Granted(msgspec.Struct, frozen=True):
    """The job is yours, under a fence that grows with each claim."""

    fence: int
    #: How often this attempt was begun, this time included unless it is a suspect's; above 1, an earlier worker died over it.
    starts: int
    #: Begun often without an end: it may be what kills its workers, and is to begin alone, by `RunStore.begin`.
    suspect: bool = False
    #: The fence of the lock that came with the claim; 0 where there is none.
    lock_fence: int = 0
    #: The run that holds the lock which this job could not have and was not to wait for; empty otherwise.
    locked_by: str = ""


class Busy(msgspec.Struct, frozen=True):
    """Another worker holds the job; its claim ends in so many seconds unless it is renewed."""

    seconds: float


class Locked(msgspec.Struct, frozen=True):
    """Another run holds the lock that the job needs, and has kept it waiting for so many seconds by now."""

    holder: str
    seconds: float


class Decided(msgspec.Struct, frozen=True):
    """The outcome is on record, but perhaps nobody lived to act on it: act on it again, the ids make that harmless."""

    outcome: Outcome


class Over(msgspec.Struct, frozen=True):
    """Nothing is left to do for this message."""


Claim = Granted | Busy | Locked | Decided | Over

_outcomes = msgspec.json.Decoder(Done | RetryLater | GiveUp)


def read_claim(reply: list[Any]) -> Claim:
    """The claim that the store's reply stands for."""
    match reply:
        case ["granted", *facts]:
            return Granted(*facts)
        case ["busy", milliseconds]:
            return Busy(milliseconds / 1000)
        case ["locked", holder, milliseconds]:
            return Locked(holder, milliseconds / 1000)
        case ["decided", verdict, milliseconds] if verdict:
            return Decided(_due(_outcomes.decode(verdict), milliseconds / 1000))
        case _:
            return Over()


def _due(outcome: Outcome, seconds: float) -> Outcome:
    return RetryLater(seconds, outcome.failure) if isinstance(outcome, RetryLater) else outcome
