"""Declares the arguments of each transition in `lua/packed/`.

As the older family's: an array of a name and its arguments, in milliseconds. A test compares them with the Lua functions.
"""

from collections.abc import Sequence

from mousetrap.pipeline import LimitAt
from mousetrap.run_store.transitions import (
    BeginSuspect,
    CancelRun,
    RenewClaim,
    ReportProgress,
    Transition,
    YieldValue,
)


class OpenRun(Transition, frozen=True, array_like=True, tag="open_run"):
    run: str
    record: str
    first: str
    pipeline: str
    digest: str
    delay: int
    ttl: int


class MarkPublished(Transition, frozen=True, array_like=True, tag="mark_published"):
    run: str


class RejectRun(Transition, frozen=True, array_like=True, tag="reject_run"):
    run: str
    #: The id of its first job; empty where the run is not known.
    first: str
    #: When the run was accepted first, and the number of the submission among those of the run; 0 for whichever.
    accepted_ms: int
    number: int
    failure: str
    ttl: int


class ClaimJob(Transition, frozen=True, array_like=True, tag="claim"):
    job: str
    run: str
    stage: str
    attempt: int
    parent: str
    parent_fence: int
    accepted_ms: int
    generation: int
    expires_ms: int
    worker: str
    redelivered: bool
    lock: str
    waits: bool
    crashes: int
    lease: int
    keep: int
    #: The record that a plain claim left, to be taken back; else empty.
    taken: str
    #: The record of the run, where the store does not know it; empty until that is known.
    restore: str
    #: The limits that it meets.
    limited: Sequence[LimitAt]
    ttl: int


class KeepPlace(Transition, frozen=True, array_like=True, tag="keep_place"):
    job: str
    run: str
    #: The pipeline's name and the stage's, with a dot between.
    stage: str
    attempt: int
    generation: int
    ttl: int


class LeaveLine(Transition, frozen=True, array_like=True, tag="leave_line"):
    job: str
    run: str
    stage: str
    attempt: int
    generation: int


class ReturnToLine(Transition, frozen=True, array_like=True, tag="return_to_line"):
    job: str
    run: str
    stage: str
    ttl: int


class Survived(Transition, frozen=True, array_like=True, tag="survived"):
    job: str
    run: str
    attempt: int
    worker: str


class _Decision(Transition, frozen=True, array_like=True):
    """What every decision of a claim holder begins with."""

    job: str
    run: str
    attempt: int
    fence: int
    worker: str


class RecordDone(_Decision, frozen=True, array_like=True, tag="done"):
    verdict: str
    #: The next stage; empty where the output is the run's result.
    following: str
    #: The failure with its traceback, of a job that was given up and whose run goes on all the same; else empty.
    story: str
    keep: int
    ttl: int


class RecordRetry(_Decision, frozen=True, array_like=True, tag="retry"):
    verdict: str
    story: str
    delay: int
    ttl: int


class WaitOut(_Decision, frozen=True, array_like=True, tag="wait_out"):
    story: str
    delay: int
    ttl: int


class RecordGiveUp(_Decision, frozen=True, array_like=True, tag="give_up"):
    verdict: str
    failure: str
    story: str
    ttl: int


class ReleaseClaim(_Decision, frozen=True, array_like=True, tag="release"):
    ttl: int


class DistrustRecord(Transition, frozen=True, array_like=True, tag="distrust"):
    job: str
    run: str
    attempt: int
    worker: str
    refused: str
    verdict: str
    failure: str
    restore: str
    ttl: int


class InFan(Transition, frozen=True, array_like=True, tag="in_fan"):
    """A transition of a job that is in fans."""

    job: str
    run: str
    #: Jobs and indexes in turn, outermost first.
    fans: str
    #: Whether the way through the innermost ends with this job.
    joining: bool
    call: Transition


class OpenFan(Transition, frozen=True, array_like=True, tag="open_fan"):
    job: str
    run: str
    fence: int
    #: Indexes below which children may be claimed, and are with the broker for sure.
    opened: int
    confirmed: int
    keys: Sequence[str]
    #: The number of this call among those of the attempt.
    window: int
    #: Children of a run.
    most: int
    #: What the join needs: a share of all, or where that is not -1 a number of them.
    share: float
    least: int
    join: str
    worker: str
    ttl: int


class CloseFan(_Decision, frozen=True, array_like=True, tag="close"):
    verdict: str
    following: str
    #: As RecordDone's.
    story: str
    children: int
    share: float
    least: int
    join: str
    #: How long the children may go on from then; 0 for no end.
    within: int
    ttl: int


class RedriveJob(Transition, frozen=True, array_like=True, tag="redrive"):
    job: str
    run: str
    accepted_ms: int
    generation: int
    ttl: int


class StallFan(Transition, frozen=True, array_like=True, tag="stall"):
    job: str
    run: str
    attempt: int
    worker: str
    verdict: str
    failure: str
    late: bool
    ttl: int


class JobRedriven(Transition, frozen=True, array_like=True, tag="redriven"):
    job: str
    run: str
    stage: str
    generation: int
    restore: str
    ttl: int


#: Those of the older family whose arguments are the same.
SHARED = (BeginSuspect, CancelRun, RenewClaim, ReportProgress, YieldValue)
