"""What a handler may know about the attempt it is making, and what it may say about it."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mousetrap.jobs import Job
from mousetrap.run_store import Progress

Deps = TypeVar("Deps")

_log = logging.getLogger("mousetrap.handler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(Generic[Deps]):
    """One attempt at one job. All of it may be used from the handler's thread."""

    #: What the binding's lifespan gave.
    deps: Deps
    run_id: str
    job_id: str
    pipeline: str
    stage: str
    #: 1 for the first try.
    attempt: int
    #: Grows with each claim on the job: an outside system that keeps the greatest it saw can refuse a late worker.
    fence: int
    #: As `fence`, for the stage's lock: grows from one holder to the next; 0 where the stage has no lock.
    lock_fence: int = 0
    #: On time.monotonic()'s clock; None when the stage has no time limit.
    deadline: float | None
    stopped: threading.Event = field(repr=False)
    tell: Callable[[Progress], None] = field(repr=False)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this job, and for no other job: hand it to systems that can drop a repeat."""
        return self.job_id

    @property
    def cancelled(self) -> bool:
        """Whether to stop now: the time is over, the run was called off, or another worker has the job."""
        return self.stopped.is_set()

    @property
    def log(self) -> "logging.LoggerAdapter[logging.Logger]":
        """A logger that puts the run, the stage and the attempt on each line."""
        facts = {"run": self.run_id, "stage": self.stage, "attempt": self.attempt}
        return logging.LoggerAdapter(_log, facts)

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Says how far the handler has come, for those who watch the run; say it as often as you like."""
        self.tell(Progress(stage=self.stage, done=done, total=total, note=note))


def context_of(
    job: Job,
    deps: Deps,
    *,
    fence: int,
    lock_fence: int = 0,
    deadline: float | None,
    stopped: threading.Event,
    tell: Callable[[Progress], None],
) -> Context[Deps]:
    """The context of the attempt that `job` stands for."""
    return Context(
        deps=deps,
        run_id=job.run_id,
        job_id=job.id,
        pipeline=job.pipeline,
        stage=job.stage,
        attempt=job.attempt,
        fence=fence,
        lock_fence=lock_fence,
        deadline=deadline,
        stopped=stopped,
        tell=tell,
    )
