"""Specifies claims and decisions of one job, as the store promises."""

from collections.abc import Iterator
from typing import NamedTuple

from chaos.linearizability import Operation


class Asked(NamedTuple):
    """A call to the store and its answer."""

    #: claim, renew, decide or release.
    call: str
    worker: str
    attempt: int
    #: The fence that the worker holds; 0 with a claim.
    fence: int = 0
    #: With a decision: Done, RetryLater or GiveUp.
    outcome: str = ""
    redelivered: bool = False
    #: Whether the run may be ended from outside, by a cancel or by its expiry.
    stoppable: bool = False
    #: Seconds that a claim or a renewal lasts; 0 where the store's clock is stepped, so that the time is unknown.
    lease: float = 0.0
    #: Empty for a call without an answer.
    answer: str = ""
    #: The fence that a claim was granted under.
    granted: int = 0


class Job(NamedTuple):
    """What the store knows of a job."""

    fence: int = 0
    #: new, running, released, waiting (for a lock), retrying or ended.
    state: str = "new"
    attempt: int = 0
    worker: str = ""
    #: What was decided last, and under which fence.
    outcome: str = ""
    decided: int = 0
    #: The earliest moment at which the claim may have ended.
    until: float = 0.0


def step(job: Job, call: Operation[Asked]) -> Iterator[Job]:
    """The states after a call; none if its answer cannot be given. A call without an answer may have any."""
    asked = call.what
    answers = _ANSWERS[asked.call]
    for answer in (asked.answer,) if asked.answer else answers:
        yield from answers[answer](job, asked, call)


def _granted(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    if not _is_due(job, asked):
        return
    mine = job.worker == asked.worker
    if job.state == "running" and mine and asked.granted in (0, job.fence):
        yield job._replace(until=call.begin + asked.lease)
    held = job.state == "running" and not mine and not asked.redelivered
    if held and call.end is not None and call.end < job.until:
        return
    if asked.granted in (0, job.fence + 1):
        yield job._replace(
            fence=job.fence + 1,
            state="running",
            attempt=asked.attempt,
            worker=asked.worker,
            until=call.begin + asked.lease,
        )


def _is_due(job: Job, asked: Asked) -> bool:
    """Whether this attempt is the one that the job has come to."""
    return job.state != "ended" and asked.attempt == (job.attempt or 1)


def _busy(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    if job.state == "running" and job.worker != asked.worker and _is_due(job, asked):
        yield job


def _locked(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    if _is_due(job, asked):
        yield job._replace(fence=job.fence + 1, state="waiting", attempt=asked.attempt, worker="")


def _decided_before(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    if job.state == "ended" or (job.state == "retrying" and asked.attempt < job.attempt):
        yield job


def _nothing_to_do(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    if job.state == "ended" or asked.attempt < job.attempt:
        yield job
    elif asked.stoppable:
        yield job
        yield job._replace(fence=job.fence + 1)  # expired by this very claim


def _renewed(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    if asked.fence == job.fence:
        yield job._replace(until=call.begin + asked.lease) if job.state == "running" else job


def _stale(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    if asked.fence < job.fence:
        yield job


def _recorded(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    if asked.fence != job.fence:
        return
    if job.decided == job.fence and job.outcome == asked.outcome:
        yield job  # the same decision, answered again
    elif job.state in ("running", "released") and job.decided != job.fence:
        again = asked.outcome == "RetryLater"
        yield job._replace(
            state="retrying" if again else "ended",
            attempt=asked.attempt + again,
            outcome=asked.outcome,
            decided=asked.fence,
        )


def _over(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    if asked.stoppable and asked.fence == job.fence:
        yield job


def _unlocked(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    if asked.fence == job.fence and job.state in ("running", "waiting"):
        yield job._replace(state="waiting")


def _released(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    held = asked.fence == job.fence and job.state == "running"
    yield job._replace(state="released", worker="") if held else job


_ANSWERS = {
    "claim": {
        "Granted": _granted,
        "Busy": _busy,
        "Locked": _locked,
        "Decided": _decided_before,
        "Over": _nothing_to_do,
    },
    "renew": {"kept": _renewed, "lost": _stale},
    "decide": {"recorded": _recorded, "stale": _stale, "over": _over, "unlocked": _unlocked},
    "release": {"released": _released},
}
