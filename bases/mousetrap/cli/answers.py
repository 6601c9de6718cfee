"""What the API answers, as far as a terminal shows it; fields that it does not know are left alone."""

from typing import Any

import msgspec


class Failure(msgspec.Struct, frozen=True):
    """Why an attempt or a run failed."""

    kind: str
    text: str
    traceback: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a run's timeline."""

    id: str
    kind: str
    #: Milliseconds since 1970.
    at_ms: int
    stage: str | None = None
    attempt: int | None = None
    worker: str | None = None
    failure: Failure | None = None

    @property
    def last(self) -> bool:
        """Whether the run ended with this."""
        return self.kind in ("completed", "failed", "rejected")


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the handler that runs now has come."""

    stage: str
    done: float
    total: float | None = None
    note: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One input's trip through a pipeline."""

    id: str
    pipeline: str
    state: str
    stage: str
    accepted_ms: int
    finished_ms: int | None = None
    input: Any = None
    result: Any = None
    failure: Failure | None = None
    timeline: tuple[Event, ...] = ()


class Page(msgspec.Struct, frozen=True):
    """Some runs, newest first."""

    runs: tuple[Run, ...]
    #: What the next page starts after; None when there is none.
    next: str | None = None


class Stage(msgspec.Struct, frozen=True):
    """A step of a pipeline and its queue."""

    name: str
    queue: str


class Pipeline(msgspec.Struct, frozen=True):
    """A chain of stages."""

    name: str
    stages: tuple[Stage, ...]


class Doing(msgspec.Struct, frozen=True):
    """An attempt that a worker has under way, and for how long it had at the worker's last beat."""

    run_id: str
    stage: str
    attempt: int
    seconds: float


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker by its last beat."""

    name: str
    state: str
    stages: tuple[str, ...]
    concurrency: int
    running: int
    done: int
    failed: int
    #: Seconds since that beat.
    silent: float
    doing: tuple[Doing, ...] = ()
