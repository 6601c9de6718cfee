"""What a handler can read about its attempt, and its progress reports."""

import itertools
import logging
import math
import threading
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from mousetrap.blobs import Chunks, MemoryChunks, NewBlob
from mousetrap.jobs import Job
from mousetrap.pipeline import Stage
from mousetrap.shapes import Progress
from mousetrap.telemetry import AttemptFacts

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
    #: The queue that the job came from.
    queue: str = ""
    #: The name of the worker, unique among all.
    worker: str = ""
    #: 1 for the first try.
    attempt: int
    #: How many the stage's policy allows; None for any number.
    max_attempts: int | None = None
    #: Grows with each claim on the job: an outside system that keeps the greatest fence so far can refuse a late worker.
    fence: int
    #: As `fence`, for the stage's lock: grows from one holder to the next; 0 where the stage has no lock.
    lock_fence: int = 0
    #: Seconds that the stage allows for an attempt; None for any time.
    timeout: float | None = None
    #: On time.monotonic()'s clock, which all processes of a machine share; None when the stage has no timeout.
    deadline: float | None
    #: As `deadline`, for the stage's soft timeout.
    soft_deadline: float | None = None
    #: Milliseconds since 1970 after which no attempt of the run is begun; None for never. It does not end this attempt.
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(AttemptInfo, Generic[Deps]):
    """One attempt at one job, with what the handler needs. All of it may be used from the handler's thread."""

    #: The value of the binding's lifespan.
    deps: Deps
    stopped: threading.Event = field(repr=False)
    report: Callable[[Progress], None] = field(repr=False)
    #: Those of the run's blobs; in memory in a context that was made by hand.
    chunks: Chunks = field(default_factory=lambda: MemoryChunks("run"), repr=False)
    blob_count: Iterator[int] = field(default_factory=itertools.count, repr=False)
    if TYPE_CHECKING:  # so that the types in tasks.py can exclude a Context
        __reduce__: ClassVar[None]  # type: ignore[assignment]

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
        """A logger that adds the run, the stage and the attempt to each line, beside its own `extra`."""
        facts = {"run": self.run_id, "stage": self.stage, "attempt": self.attempt}
        return _AttemptLog(_log, facts)

    def new_blob(self) -> NewBlob:
        """A blob of this run to write as a stream: `with context.new_blob() as file`, in async code `async with`.

        After the block `file.blob` is the value to return. It lives as long as the run; so does what a failed attempt wrote.
        """
        return NewBlob(self.chunks, f"{self.job_id}-{self.fence}-{next(self.blob_count)}")

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


class _AttemptLog(logging.LoggerAdapter[logging.Logger]):
    """The library's own drops a line's `extra` (before Python 3.13 there is no way to keep it)."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


def attempt_info(job: Job, stage: Stage, worker: str, fences: tuple[int, int], now: float) -> AttemptInfo:
    """The attempt at `job` that begins at `now` on time.monotonic()'s clock, as data; `fences` are the claim's and the lock's."""
    fence, lock_fence = fences
    return AttemptInfo(
        run_id=job.run_id,
        job_id=job.id,
        pipeline=job.pipeline,
        stage=job.stage,
        queue=stage.queue,
        worker=worker,
        attempt=job.attempt,
        max_attempts=stage.retry.attempts,
        fence=fence,
        lock_fence=lock_fence,
        timeout=stage.timeout,
        deadline=now + stage.timeout if stage.timeout else None,
        soft_deadline=now + stage.soft_timeout if stage.soft_timeout else None,
        expires_ms=job.expires_ms,
    )


def facts_of(info: AttemptInfo) -> AttemptFacts:
    """What the log lines of an attempt have."""
    return AttemptFacts(info.run_id, info.pipeline, info.stage, info.job_id, info.attempt, info.worker)


def context_of(
    info: AttemptInfo,
    deps: Deps,
    stopped: threading.Event,
    report: Callable[[Progress], None],
    chunks: Chunks | None = None,
) -> Context[Deps]:
    """The context of an attempt; without `chunks` its blobs are in memory."""
    facts = {name: getattr(info, name) for name in AttemptInfo.__slots__}
    return Context(
        deps=deps, stopped=stopped, report=report, chunks=chunks or MemoryChunks(info.run_id), **facts
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
