"""What a handler can read about its attempt, and its progress reports."""

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
class AttemptInfo:
    """One attempt at one job, as plain data; an isolated handler's process gets the same."""

    run_id: str
    job_id: str
    pipeline: str
    stage: str
    #: 1 for the first try.
    attempt: int
    #: Grows with each claim on the job: an outside system that keeps the greatest fence so far can refuse a late worker.
    fence: int
    #: As `fence`, for the stage's lock: grows from one holder to the next; 0 where the stage has no lock.
    lock_fence: int = 0
    #: On time.monotonic()'s clock, which all processes of a machine share; None when the stage has no timeout.
    deadline: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(AttemptInfo, Generic[Deps]):
    """One attempt at one job, with what the handler needs. All of it may be used from the handler's thread."""

    #: The value of the binding's lifespan.
    deps: Deps
    stopped: threading.Event = field(repr=False)
    report: Callable[[Progress], None] = field(repr=False)

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this job, and for no other job: pass it to systems that can drop a repeat."""
        return self.job_id

    @property
    def cancelled(self) -> bool:
        """Whether to stop now: the time is over, the run was cancelled, or another worker has the job."""
        return self.stopped.is_set()

    @property
    def log(self) -> "logging.LoggerAdapter[logging.Logger]":
        """A logger that adds the run, the stage and the attempt to each line."""
        facts = {"run": self.run_id, "stage": self.stage, "attempt": self.attempt}
        return logging.LoggerAdapter(_log, facts)

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Reports how far the handler has come; call it as often as you like.

        Of `note` the first 1,000 characters are kept. Raises TypeError for what is no number or no text, and ValueError for a
        number that is not finite and a text that cannot be encoded: stored, they would fail every reader of the run.
        """
        self.report(
            Progress(
                stage=self.stage,
                done=_number("done", done),
                total=None if total is None else _number("total", total),
                note=_text("note", note),
            )
        )


def attempt_info(job: Job, *, fence: int, lock_fence: int, deadline: float | None) -> AttemptInfo:
    """The attempt at `job`, as data."""
    return AttemptInfo(
        run_id=job.run_id,
        job_id=job.id,
        pipeline=job.pipeline,
        stage=job.stage,
        attempt=job.attempt,
        fence=fence,
        lock_fence=lock_fence,
        deadline=deadline,
    )


def context_of(
    info: AttemptInfo, deps: Deps, stopped: threading.Event, report: Callable[[Progress], None]
) -> Context[Deps]:
    """The context of an attempt."""
    facts = {name: getattr(info, name) for name in AttemptInfo.__slots__}
    return Context(deps=deps, stopped=stopped, report=report, **facts)


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
