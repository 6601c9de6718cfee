"""What a handler may know about the attempt it is making, and what it may say about it."""

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from mousetrap.jobs import Job
from mousetrap.shapes import Progress

Deps = TypeVar("Deps")

#: Characters of a progress note.
_MAX_NOTE = 1_000

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
        """Says how far the handler has come, for those who watch the run; say it as often as you like.

        Of `note` the first 1,000 characters are kept. Raises TypeError for what is no number or no text, and ValueError for a
        number that is not finite and a text that cannot be encoded: stored, they would fail every reader of the run.
        """
        progress = Progress(
            stage=self.stage,
            done=_number("done", done),
            total=None if total is None else _number("total", total),
            note=_text("note", note),
        )
        self.tell(progress)


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


def _number(name: str, value: Any) -> float:
    if isinstance(value, str | bytes | bytearray):
        raise TypeError(f"progress: {name} is a {type(value).__name__}: give a number")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"progress: {name} is too large for a float: give a smaller number") from None
    except TypeError:
        raise TypeError(f"progress: {name} is a {type(value).__name__}: give a number") from None
    if not math.isfinite(number):
        raise ValueError(f"progress: {name} is {number}: give a finite number")
    return number


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"progress: {name} is a {type(value).__name__}: give a text")
    try:
        return str.encode(value[:_MAX_NOTE]).decode()
    except UnicodeEncodeError as error:
        raise ValueError(f"progress: {name} cannot be encoded: {error}") from None
