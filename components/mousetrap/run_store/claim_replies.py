"""Replies to a claim."""

from typing import Any

import msgspec

from mousetrap.jobs import Job, Outcome, RetryLater
from mousetrap.run_store.signed_records import read_verdict
from mousetrap.signing import Keyring, SignatureRefused


class Granted(msgspec.Struct, frozen=True):
    """The job is given, under a fence that grows with each claim."""

    fence: int
    #: How often this attempt was started, this time included unless it is a suspect's; above 1, an earlier worker died during it.
    starts: int
    #: Started often without an end: it may kill its workers, and must start alone, with `RunStore.begin`.
    suspect: bool = False
    #: The fence of the lock that came with the claim; 0 where there is none.
    lock_fence: int = 0
    #: The run that holds the lock which this job could not get and must not wait for; else empty.
    locked_by: str = ""
    #: Milliseconds since this attempt first met an outage of what its handler depends on; 0 where it has not.
    away_ms: int = 0
    #: Whether it waited for a limit and has its place in a line until it is settled: `RunStore.leave_line`.
    lined: bool = False
    #: The claim as it is recorded, where it can be compared with the record when its outcome is; else empty.
    record: bytes = b""


class Busy(msgspec.Struct, frozen=True):
    """Another worker holds the job; its claim ends in so many seconds unless it is renewed."""

    seconds: float


class Locked(msgspec.Struct, frozen=True):
    """Another run holds the job's lock; the job has waited for so many seconds so far."""

    holder: str
    seconds: float


class Limited(msgspec.Struct, frozen=True):
    """A limit has no room for the job, which has waited for so many seconds so far."""

    #: The pipeline's name and the stage's, with a dot between.
    place: str
    seconds: float
    #: Whether it is in a line, and is taken from there once its message is kept; else its message alone brings it back.
    in_line: bool


class Fired(msgspec.Struct, frozen=True):
    """All children of a job are decided, and as many as their join needs are done: it is its message follows from this, too."""

    #: The job whose children they are.
    fan_job: str
    #: The fence that it was decided under, which the join's message carries.
    fence: int
    total: int
    done: int
    lost: int
    #: What the worker that opened or closed the fan gave for this.
    join: str


class FanLate(msgspec.Struct, frozen=True):
    """The time of a job's children is over, and fewer are done than their join needs."""

    total: int
    done: int
    lost: int


class Decided(msgspec.Struct, frozen=True):
    """The outcome is recorded. Its worker may have died before acting on it: act on it again; the ids make that harmless."""

    outcome: Outcome
    #: The fence that it was decided under, which the next stage's message carries; 0 where no message does.
    fence: int = 0
    #: The join that follows from it as well.
    fired: Fired | None = None
    #: Of a job with children that are not all decided: for how many seconds none was. Its message stays, so that a store which
    #: forgets what followed from it does not leave them without one.
    waits_s: float | None = None
    #: Of these, how many seconds are left of their time; None where they have no end.
    left_s: float | None = None
    #: Where that is over: the job is to be given up.
    late: FanLate | None = None


class Unsigned(msgspec.Struct, frozen=True):
    """The record of the job is not signed by one of our keys: nothing may follow from it."""

    #: The record, to be replaced by `RunStore.replace_unsigned`.
    record: str
    #: The reason, as text.
    why: str


class Forgotten(msgspec.Struct, frozen=True):
    """The job's run was accepted longer ago than runs are remembered, and is not known. Whether the job was done is unknown."""


class Over(msgspec.Struct, frozen=True):
    """The message is obsolete: nothing is left to do."""

    #: How the run has ended with this claim; empty where it had ended before, or goes on.
    ended: str = ""


Claim = Granted | Busy | Locked | Limited | Decided | Unsigned | Forgotten | Over


def read_refusal(reply: list[Any], job: Job, keyring: Keyring) -> Claim:
    """Why `job` was not granted, from the store's reply."""
    match reply:
        case ["busy", milliseconds]:
            return Busy(milliseconds / 1000)
        case ["locked", holder, milliseconds]:
            return Locked(holder, milliseconds / 1000)
        case ["limited", place, milliseconds, in_line]:
            return Limited(place, milliseconds / 1000, in_line)
        case ["forgotten"]:
            return Forgotten()
        case ["decided", verdict, milliseconds, fence, more] if verdict:
            decided = _decided(verdict, milliseconds / 1000, job, keyring, fence)
            return _with_fan(decided, more) if isinstance(decided, Decided) else decided
        case ["decided", verdict, milliseconds, *fence] if verdict:
            return _decided(verdict, milliseconds / 1000, job, keyring, *fence)
        case ["over", ended]:
            return Over(ended)
        case _:
            return Over()


def read_more(decision: Any, more: list[Any]) -> Any:
    """The whole decision, from the store's reply to it: with it a fan may have fired, or its run have ended."""
    return read_fired(more) or (more[0] if more else decision)


def read_fired(more: list[Any]) -> Fired | None:
    """What a decision fired, from the rest of the store's reply to it."""
    return Fired(*more[1:]) if more[:1] == ["fired"] else None


def _with_fan(decided: Decided, more: list[Any]) -> Decided:
    if more[0] == "late":
        return msgspec.structs.replace(decided, late=FanLate(*more[1:]))
    if more[0] == "waits":
        left_s = more[2] / 1000 if len(more) > 2 else None
        return msgspec.structs.replace(decided, waits_s=more[1] / 1000, left_s=left_s)
    return msgspec.structs.replace(decided, fired=read_fired(more))


def _decided(record: str, seconds: float, job: Job, keyring: Keyring, fence: int = 0) -> Decided | Unsigned:
    try:
        outcome = read_verdict(record.encode(), job, keyring)
    except SignatureRefused as error:
        return Unsigned(record, str(error))
    if isinstance(outcome, RetryLater):
        # The store knows when it is due, but it is never later than what was decided.
        return Decided(RetryLater(min(seconds, outcome.after), outcome.failure), fence)
    return Decided(outcome, fence)
