"""The facts by which it is judged why a run waits."""

from dataclasses import dataclass
from typing import Literal

from mousetrap.shapes import FailureLine, Fan, LimitKey, PutAside, Queue, RunState, Worker

#: As the store has a job: `queued` also where it has no record of it, or its worker handed it back.
JobState = Literal["queued", "running", "retrying", "outage", "locked", "limited", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockAt:
    """A lock, and who holds it. Times are milliseconds since 1970."""

    name: str
    #: Empty where it is free by now.
    run_id: str = ""
    worker: str = ""
    since_ms: int = 0
    #: When its holder loses it, unless that renews it.
    until_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAt:
    """A limit that has no room for the job, as it stands."""

    #: As its stage declares it.
    most: int
    every: str | None = None
    stands: LimitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class JobAt:
    """A job of the run that is not decided. Times are milliseconds since 1970; 0 for none."""

    stage: str
    state: JobState
    id: str = ""
    attempt: int = 1
    #: Attempts that its stage allows; None for no limit, or where the pipeline is not known here.
    attempts: int | None = None
    #: Since when it is in this state.
    since_ms: int = 0
    worker: str = ""
    #: When its claim ends unless it is renewed.
    until_ms: int = 0
    due_ms: int = 0
    failure: FailureLine | None = None
    lock: LockAt | None = None
    limit: LimitAt | None = None
    #: Whether it was started twice without an end, so that it runs alone; and how often it was started.
    suspect: bool = False
    starts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceAt:
    """A job, and the queue of its stage."""

    job: JobAt
    #: Empty where no process here knows the pipeline.
    queue_name: str = ""
    #: None where the broker could not be asked, or the queue is not known.
    queue: Queue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a run, of its jobs that are not decided, and of the workers."""

    now_ms: int
    run_id: str
    pipeline: str
    state: RunState
    accepted_ms: int
    updated_ms: int
    finished_ms: int | None = None
    #: When its first job may begin.
    due_ms: int | None = None
    #: Since when it is recorded and not known to be published; None for one that is.
    unpublished_ms: int | None = None
    #: Seconds after which it is published by another process.
    republished_after_s: float = 60.0
    #: What is damaged of it.
    unreadable: tuple[str, ...] = ()
    #: Why the broker cannot be used; empty where it can.
    broker: str = ""
    letter: PutAside | None = None
    #: The job of the run's own row that is not decided, or one of each state in a fan.
    places: tuple[PlaceAt, ...] = ()
    #: The children that the run waits for.
    fan: Fan | None = None
    workers: tuple[Worker, ...] = ()
