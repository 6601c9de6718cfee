"""A run, its timeline and its progress; times are milliseconds since 1970."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from mousetrap.shapes.doc import Doc
from mousetrap.shapes.failure import Failure, FailureLine
from mousetrap.shapes.job import Fan
from mousetrap.shapes.priority import DEFAULT_PRIORITY, PriorityShown
from mousetrap.shapes.reference import Reference

_RUN = Doc(examples=("019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b",))
_UNREADABLE = "Fields that cannot be read because the store's data is damaged, each with the reason."
_LARGE = (
    "Where it is, when it is too large for the run's record; one of more than 8 MiB is not shown beside it."
)


class RunState(StrEnum):
    """The state of a run."""

    #: A job of it waits for a worker.
    QUEUED = "queued"
    #: A worker has a job of it.
    RUNNING = "running"
    #: A job of it failed and waits for its next attempt.
    RETRYING = "retrying"
    #: Its last stage returned the result.
    COMPLETED = "completed"
    #: A job of it was given up and is a dead letter.
    FAILED = "failed"
    #: It was never accepted; the caller got an error.
    REJECTED = "rejected"
    #: It was cancelled; no attempt began after that.
    CANCELLED = "cancelled"
    #: Its time was over before its next job could begin.
    EXPIRED = "expired"
    #: The store's data of it is damaged, and its state is unknown.
    UNREADABLE = "unreadable"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self not in (RunState.QUEUED, RunState.RUNNING, RunState.RETRYING, RunState.UNREADABLE)


#: The kinds of events that a run ends with; each is the name of a state.
ENDS = frozenset(state.value for state in RunState if state.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The run is kept: it survives any crash from now on."""

    run_id: Annotated[str, _RUN]
    #: Where the run is shown.
    url: Annotated[str, Doc(examples=(f"/runs/{_RUN.examples[0]}",))]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRun:
    """A run of a pipeline that takes the topic: it is kept."""

    pipeline: Annotated[str, Doc(examples=("earthquakes",))]
    run_id: Annotated[str, _RUN]
    url: Annotated[str, Doc(examples=(f"/runs/{_RUN.examples[0]}",))]
    #: Whether it was started now; false where the same was published before.
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What was published: every one of its runs is kept."""

    topic: Annotated[str, Doc(examples=("orders.created",))]
    #: The Idempotency-Key under which a repeat gives these runs.
    key: str
    #: One of each pipeline that takes the topic.
    runs: tuple[PublishedRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a run's timeline; times are milliseconds since 1970."""

    #: Its place in the timeline: a later event has a greater one.
    id: Annotated[str, Doc(examples=("1765432100123-0",))]
    #: accepted, started, yielded, truncated, finished, retrying, waiting, handed_back, gave_up, redriven, or how the run
    #: ended: completed, failed, rejected, cancelled, expired. Of a job with children: opened, closed (with how many there
    #: are), fired (all are decided, or their time is over: their join follows), late (one was redriven, or ended,
    #: after that).
    kind: Annotated[str, Doc(examples=("started",))]
    at_ms: int
    stage: str | None = None
    job: str | None = None
    attempt: int | None = None
    worker: str | None = None
    failure: Failure | None = None
    value: Annotated[Any, Doc("What the handler yielded, or the counts of children.")] = None
    unreadable: Annotated[tuple[str, ...], Doc(_UNREADABLE)] = ()

    @property
    def last(self) -> bool:
        """Whether the run ended with this; a failed one goes on when its dead letter is redriven."""
        return self.kind in ENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress that the running handler reported; or how many of a job's children are decided."""

    stage: str
    done: int | float
    #: In the same unit as `done`; None when the handler does not know.
    total: int | float | None = None
    note: str = ""
    #: Of a job with children: how many of these were given up; `done` is how many are done, and `total` how many there are.
    lost: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """A run, as a list shows it; times are milliseconds since 1970."""

    id: Annotated[str, _RUN]
    pipeline: Annotated[str, Doc(examples=("earthquakes",))]
    state: RunState
    stage: Annotated[str, Doc("The stage that the run reached last.", ("process",))]
    accepted_ms: int
    updated_ms: int
    finished_ms: int | None = None
    failure: FailureLine | None = None
    progress: Progress | None = None
    due_ms: Annotated[
        int | None, Doc("When its first job may begin, where it was submitted with a delay.")
    ] = None
    tags: Annotated[tuple[str, ...], Doc("The submitter's own words for it.", (["nightly"],))] = ()
    priority: PriorityShown = DEFAULT_PRIORITY
    unreadable: Annotated[tuple[str, ...], Doc(_UNREADABLE, ([],))] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PutAside:
    """The dead letter of a run that waits: the broker, or a worker that could not verify it, put the message aside."""

    id: Annotated[str, Doc(examples=("5f0c5b7e6a1d5c0e8f3a2b4c6d8e0f1a",))]
    queue: Annotated[str, Doc("The queue whose dead letter it is.", ("start_fetch",))]
    reason: Annotated[str, Doc(examples=("expired",))]
    believed: Annotated[
        bool, Doc("Whether a key of ours signed it; otherwise the run's id in it is not verified.")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(RunLine):
    """A run with its input, its result and its timeline, oldest event first."""

    expires_ms: Annotated[int | None, Doc("When no job of it is begun any more.")] = None
    rerun_of: Annotated[str | None, Doc("The run that it repeats.", _RUN.examples)] = None
    trace_id: Annotated[
        str | None,
        Doc("Its trace, where the process that accepted it traces.", ("4bf92f3577b34da6a3ce929d0e0e4736",)),
    ] = None
    trace_url: Annotated[str | None, Doc("Where it is shown, where MOUSETRAP_TRACE_URL is set.")] = None
    input: Any = None
    input_reference: Annotated[Reference | None, Doc(_LARGE)] = None
    failure: Failure | None = None
    result: Any = None
    result_reference: Annotated[Reference | None, Doc(_LARGE)] = None
    timeline: tuple[Event, ...] = ()
    fans: Annotated[tuple[Fan, ...], Doc("The children of its jobs; not those of children.", ([],))] = ()
    letter: Annotated[
        PutAside | None, Doc("The dead letter that holds its message, when that is why the run waits.")
    ] = None

    @property
    def left_out(self) -> Reference | None:
        """Where its result is, if that is not in `result`: it is too large, or cannot be read."""
        at = self.result_reference
        # Where every payload is kept by reference, so are the four bytes of `null`.
        return at if at is not None and self.result is None and at.size > len("null") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Some runs, newest first."""

    runs: tuple[RunLine, ...]
    next: Annotated[str | None, Doc("Ask with `after` set to this for the runs that follow.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConditions:
    """What a run must match; a condition that is left out matches any, so none at all match every run."""

    pipeline: str | None = None
    state: RunState | None = None
    #: The stage that the run reached last.
    stage: str | None = None
    #: The worker that has its last job, or had it: of runs with packed records.
    worker: str | None = None
    #: The class of the error that ended it, with its module or without.
    error: str | None = None
    tag: str | None = None
    #: When it was accepted, in milliseconds since 1970: then or later, and before.
    from_ms: int | None = None
    to_ms: int | None = None
    #: What its id begins with.
    id: str | None = None
    #: Of runs that failed alone: whether a re-run of it completed.
    repaired: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The run is cancelled: no attempt of it begins any more."""

    run_id: Annotated[str, _RUN]
    state: RunState
