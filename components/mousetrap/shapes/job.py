"""Describes the jobs of a run as lists show them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from mousetrap.shapes.doc import Doc
from mousetrap.shapes.failure import FailureLine
from mousetrap.shapes.reference import Reference

_JOB = Doc(examples=("5f0c5b7e6a1d5c0e8f3a2b4c6d8e0f1a",))


class JobState(StrEnum):
    """The state of a job."""

    #: It waits for a worker, or for a lock.
    QUEUED = "queued"
    #: A worker has it.
    RUNNING = "running"
    #: It failed and waits for its next attempt.
    RETRYING = "retrying"
    #: It is done; with a failure beside that, its stage skips it or falls back to another.
    DONE = "done"
    #: It was given up.
    FAILED = "failed"
    #: Before it ended its run was cancelled, its time was over, or a join began without it.
    OVER = "over"
    #: The store's data of it is damaged, or not ours.
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fan:
    """The children of a job, counted."""

    job: Annotated[str, Doc("The job whose children these are.", _JOB.examples)]
    stage: Annotated[str, Doc("The stage of that job.", ("find",))]
    #: open, while the job still opens some; closed, once the total is known; fired, once all are decided, or
    #: their time is over, and their join follows.
    state: Annotated[str, Doc(examples=("closed",))]
    opened: Annotated[int, Doc("How many may begin so far.")]
    #: None while it is open.
    total: int | None = None
    done: int
    lost: Annotated[int, Doc("How many were given up, or were not decided when their time was over.")]
    #: Of these, how many were not decided then.
    late: int = 0
    needs: Annotated[int | None, Doc("How many must be done; null while it is open.")] = None

    @property
    def is_decided(self) -> bool:
        """Whether none of them is under way or to come."""
        return self.total is not None and self.total == self.done + self.lost

    @property
    def is_short(self) -> bool:
        """Whether too many are lost for what must be done."""
        return self.total is not None and self.needs is not None and self.total - self.lost < self.needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a job, or one start of it where a worker died; times are milliseconds since 1970."""

    number: int
    worker: str = ""
    began_ms: int | None = None
    #: None while it runs, and where its worker did not live to end it.
    ended_ms: int | None = None
    outcome: Annotated[str, Doc("done, retrying, failed or handed back; empty for none.", ("retrying",))] = ""
    failure: FailureLine | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """A job of a run; times are milliseconds since 1970."""

    id: Annotated[str, _JOB]
    stage: Annotated[str, Doc(examples=("read",))]
    state: JobState
    #: Which child it is, or comes after: an index in each fan that it is in, the outermost first; empty for a job in none.
    index: Annotated[tuple[int, ...], Doc(examples=([7311],))] = ()
    #: Its item's, where the items of its fan-out have keys.
    key: str | None = None
    attempt: Annotated[int, Doc("The attempt that it is at; 0 before the first.")] = 0
    worker: str = ""
    began_ms: Annotated[int | None, Doc("When its latest attempt began.")] = None
    ended_ms: int | None = None
    output: Any = None
    output_reference: Annotated[
        Reference | None, Doc("Where its output is, when it is too large for its record.")
    ] = None
    failure: FailureLine | None = None
    attempts: Annotated[
        tuple[Attempt, ...],
        Doc(
            "The newest hundred, oldest first, by the run's timeline; of a child the one that its record has.",
            ([],),
        ),
    ] = ()
    letter: Annotated[
        str | None,
        Doc("Where its dead letter is shown, unless that was discarded.", ("/dead/papers_read/5f0c5b7e…",)),
    ] = None
    children: Fan | None = None
    unreadable: Annotated[str, Doc("Why its record, or its output, cannot be read.")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some jobs of a run, by the order of its pipeline's stages and then by index."""

    jobs: tuple[JobLine, ...]
    next: Annotated[str | None, Doc("Ask with `after` set to this for the jobs that follow.")]
