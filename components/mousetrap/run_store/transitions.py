"""Declares the arguments of each transition in `lua/`.

A transition is sent as an array: its name, then its fields in this order. A test compares them with the Lua functions. Times are in
milliseconds; `ttl` is how long from now the run is kept.
"""

import msgspec


def text_of(value: object) -> str:
    """JSON as text: the server's msgpack knows texts, not byte strings."""
    return msgspec.json.encode(value).decode()


class Transition(msgspec.Struct, frozen=True, array_like=True):
    """One change of a run or a job, as its Lua function takes it."""


class OpenRun(Transition, frozen=True, array_like=True, tag="open_run"):
    run: str
    pipeline: str
    stage: str
    input: str
    input_reference: str
    digest: str
    expires_in: int
    delay: int
    rerun_of: str
    tags: str
    signature: str
    ttl: int


class RejectRun(Transition, frozen=True, array_like=True, tag="reject_run"):
    run: str
    failure: str
    ttl: int


class Published(Transition, frozen=True, array_like=True, tag="published"):
    run: str


class Unpublished(Transition, frozen=True, array_like=True, tag="unpublished"):
    age: int
    limit: int


class Look(Transition, frozen=True, array_like=True, tag="look"):
    run: str


class CancelRun(Transition, frozen=True, array_like=True, tag="cancel_run"):
    run: str
    failure: str
    ttl: int


class ReportProgress(Transition, frozen=True, array_like=True, tag="progress"):
    run: str
    progress: str


class ClaimJob(Transition, frozen=True, array_like=True, tag="claim"):
    job: str
    run: str
    pipeline: str
    stage: str
    attempt: int
    parent: str
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
    ttl: int


class BeginSuspect(Transition, frozen=True, array_like=True, tag="begin"):
    job: str
    run: str
    stage: str
    attempt: int
    fence: int
    worker: str
    ttl: int


class Survived(Transition, frozen=True, array_like=True, tag="survived"):
    job: str
    run: str
    attempt: int
    worker: str


class YieldValue(Transition, frozen=True, array_like=True, tag="yield_value"):
    job: str
    run: str
    stage: str
    attempt: int
    fence: int
    worker: str
    number: int
    value: str


class RenewClaim(Transition, frozen=True, array_like=True, tag="renew"):
    job: str
    run: str
    fence: int
    lease: int
    ttl: int


class _Decision(Transition, frozen=True, array_like=True):
    """What every decision of a claim holder begins with."""

    job: str
    run: str
    stage: str
    attempt: int
    fence: int
    worker: str


class RecordDone(_Decision, frozen=True, array_like=True, tag="done"):
    verdict: str
    ttl: int


class CompleteRun(_Decision, frozen=True, array_like=True, tag="complete"):
    result: str
    result_reference: str
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
    pipeline: str
    stage: str
    attempt: int
    accepted_ms: int
    worker: str
    refused: str
    verdict: str
    failure: str
    ttl: int


class RedriveJob(Transition, frozen=True, array_like=True, tag="redrive"):
    job: str
    run: str
    generation: int
    ttl: int


class JobRedriven(Transition, frozen=True, array_like=True, tag="redriven"):
    job: str
    run: str
    pipeline: str
    stage: str
    accepted_ms: int
    generation: int
    ttl: int


#: `ended` takes any number of run ids, so it has no fields to declare.
ENDED = "ended"
