"""Specifies claims and decisions of one job, as the store promises."""

from collections.abc import Iterator
from typing import NamedTuple

from chaos.linearizability import Operation


class Asked(NamedTuple):
    """A call to the store and its answer."""

    #: claim, renew, decide, release or imply.
    call: str
    worker: str
    attempt: int
    #: The fence that the worker holds; 0 with a claim. With "imply" the one that a message names.
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
    #: Of a claim in wire format 5: the job that this one follows from, empty for a run's first, and the fence of its outcome.
    parent: str = ""
    parent_fence: int = 0
    #: Whether the job is of wire format 5: a claim of it can be there for a moment before it is refused.
    is_packed: bool = False


class Job(NamedTuple):
    """What the store knows of a job."""

    fence: int = 0
    #: new, running, released, waiting (for a lock or a limit), retrying or ended.
    state: str = "new"
    attempt: int = 0
    worker: str = ""
    #: What was decided last, and under which fence.
    outcome: str = ""
    decided: int = 0
    #: The earliest moment at which the claim may have ended.
    until: float = 0.0
    #: The fence of the parent's outcome that it was claimed on; 0 before, and where messages name none.
    made_of: int = 0
    #: Fences of outcomes that were refused, for they are not the parent's.
    refused: frozenset[int] = frozenset()


def step(job: Job, call: Operation[Asked]) -> Iterator[Job]:
    """The states after a call; none if its answer cannot be given. A call without an answer may have any."""
    asked = call.what
    answers = _ANSWERS[asked.call]
    for answer in (asked.answer,) if asked.answer else answers:
        yield from answers[answer](job, asked, call)


def _granted(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    if not _is_due(job, asked) or not _follows(job, asked):
        return
    job = job._replace(made_of=asked.parent_fence)
    mine = job.worker == asked.worker
    if job.state == "running" and mine and asked.granted in (0, job.fence):
        yield job._replace(until=call.begin + asked.lease)
    held = job.state == "running" and not mine and not asked.redelivered
    if held and call.end is not None and call.end < job.until:
        return
    # A claim that is to be refused can be on record for a moment; the next one is above it.
    refused_first = job.state == "new" and asked.is_packed and asked.granted == 2
    if asked.granted in (0, job.fence + 1) or refused_first:
        yield job._replace(
            fence=asked.granted or job.fence + 1,
            state="running",
            attempt=asked.attempt,
            worker=asked.worker,
            until=call.begin + asked.lease,
        )


def _is_due(job: Job, asked: Asked) -> bool:
    """Whether this attempt is the one that the job has come to."""
    return job.state != "ended" and asked.attempt == (job.attempt or 1)


def _follows(job: Job, asked: Asked) -> bool:
    """Whether a message may carry the parent's outcome: all that are granted carry one, and none of those refused."""
    return asked.parent_fence not in job.refused and job.made_of in (0, asked.parent_fence)


def _busy(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    if job.state == "new" and asked.is_packed:
        yield job  # a claim that is to be refused is on record
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
        return
    if asked.stoppable:
        yield job
        yield job._replace(fence=job.fence + 1)  # expired by this very claim
    if asked.parent_fence and job.made_of != asked.parent_fence:
        yield job._replace(refused=job.refused | {asked.parent_fence})


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


def _implied(job: Job, asked: Asked, call: Operation[Asked]) -> Iterator[Job]:
    """A claim of what follows is granted only on this job's outcome under that fence, and is its record where there is none."""
    if asked.stoppable or (asked.fence == job.decided and job.outcome == "Done"):
        yield job
    if asked.fence == job.fence != job.decided and job.state in ("running", "released"):
        yield job._replace(state="ended", outcome="Done", decided=asked.fence)


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
        "Limited": _locked,
        "Decided": _decided_before,
        "Over": _nothing_to_do,
    },
    "renew": {"kept": _renewed, "lost": _stale},
    "decide": {"recorded": _recorded, "stale": _stale, "over": _over, "unlocked": _unlocked},
    "release": {"released": _released},
    "imply": {"implied": _implied},
}
