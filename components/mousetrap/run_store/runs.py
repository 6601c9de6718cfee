"""What a run looks like to those who ask, and how it is read from the store's hashes and streams."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mousetrap.jobs import Failure
from mousetrap.run_store.damage import Fields


class RunState(StrEnum):
    """Where a run stands."""

    #: A job of it waits for a worker.
    QUEUED = "queued"
    #: A worker has a job of it.
    RUNNING = "running"
    #: A job of it failed and waits for its next attempt.
    RETRYING = "retrying"
    #: Its last stage gave the result.
    COMPLETED = "completed"
    #: A job of it was given up and lies among the dead letters.
    FAILED = "failed"
    #: It was never accepted: the caller was told so.
    REJECTED = "rejected"
    #: Someone called it off; no attempt began after that.
    CANCELLED = "cancelled"
    #: Its time was over before its next job could begin.
    EXPIRED = "expired"
    #: What the store holds of it is damaged, so that nobody can say.
    UNREADABLE = "unreadable"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self not in (RunState.QUEUED, RunState.RUNNING, RunState.RETRYING, RunState.UNREADABLE)


#: The kinds of events that a run ends with; each is the name of a state.
ENDS = frozenset(state.value for state in RunState if state.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a run's timeline."""

    #: Its place in the timeline: a later event has a greater one.
    id: str
    #: accepted, started, finished, retrying, waiting, handed_back, gave_up, redriven, or how the run ended: completed,
    #: failed, rejected, cancelled, expired.
    kind: str
    #: Milliseconds since 1970.
    at_ms: int
    stage: str | None = None
    job: str | None = None
    attempt: int | None = None
    worker: str | None = None
    failure: Failure | None = None
    #: What of it could not be read.
    unreadable: tuple[str, ...] = ()

    @property
    def last(self) -> bool:
        """Whether the run ended with this; a failed one goes on when its dead letter is sent round again."""
        return self.kind in ENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the handler that runs now has come, as it says itself."""

    stage: str
    done: float
    #: In the same unit as `done`; None when the handler does not know.
    total: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One input's trip through a pipeline."""

    id: str
    pipeline: str
    state: RunState
    #: The stage that the run reached last.
    stage: str
    #: Milliseconds since 1970, as are the other two.
    accepted_ms: int
    updated_ms: int
    finished_ms: int | None = None
    #: When no job of it is begun any more; None for never.
    expires_ms: int | None = None
    #: The stage that it began with: the pipeline's first, unless it is a re-run.
    first: str = ""
    #: The run that it repeats.
    rerun_of: str | None = None
    input: Any = None
    result: Any = None
    failure: Failure | None = None
    progress: Progress | None = None
    timeline: tuple[Event, ...] = field(default=())
    #: What of it could not be read, a field each with the reason; empty for all that the store's own functions write.
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some runs, newest first, without their input, result and timeline."""

    runs: tuple[Run, ...]
    #: Ask with this for the runs that follow; None when there are no more.
    next: str | None


def read_run(
    run_id: str,
    fields: Mapping[bytes, bytes],
    timeline: tuple[Event, ...] = (),
    damage: tuple[str, ...] = (),
) -> Run:
    """The run that a hash of the store holds, whole or in part, whatever lies there; `damage` is known of it already."""
    read = Fields(fields)
    stage = read.text("stage")
    return Run(
        id=run_id,
        pipeline=read.text("pipeline"),
        state=_state(read),
        stage=stage,
        accepted_ms=read.number("accepted_ms"),
        updated_ms=read.number("updated_ms"),
        finished_ms=read.number("finished_ms", 0) or None,
        expires_ms=read.number("expires_ms", 0) or None,
        first=read.text("first", stage),
        rerun_of=read.text("rerun_of", "") or None,
        input=read.json("input"),
        result=read.json("result"),
        failure=_whole(read.json("failure", Failure), timeline),
        progress=read.json("progress", Progress),
        timeline=timeline,
        unreadable=(*damage, *read.faults),
    )


def read_event(entry: tuple[bytes, Mapping[bytes, bytes] | None]) -> Event:
    """The event that an entry of a run's stream holds, whatever that is."""
    place, fields = entry
    read = Fields(fields or {})
    return Event(
        id=place.decode(),
        kind=read.text("kind"),
        at_ms=int(place.partition(b"-")[0]),
        stage=read.text("stage", "") or None,
        job=read.text("job", "") or None,
        attempt=read.number("attempt", 0) or None,
        worker=read.text("worker", "") or None,
        failure=read.json("data", Failure),
        unreadable=tuple(read.faults),
    )


def read_progress(raw: bytes | None) -> Progress | None:
    """The progress that a field holds, if any that can be read."""
    progress: Progress | None = Fields({b"progress": raw or b""}).json("progress", Progress)
    return progress


def _whole(failure: Failure | None, timeline: tuple[Event, ...]) -> Failure | None:
    """The run's failure with its traceback, which the timeline alone keeps."""
    if failure is None or failure.traceback:
        return failure
    failures = (event.failure for event in reversed(timeline) if event.kind == "gave_up")
    return next((it for it in failures if it is not None and it.without_traceback() == failure), failure)


def _state(read: Fields) -> RunState:
    said = read.text("state")
    try:
        return RunState(said)
    except ValueError:
        if said:
            read.fault("state", f"there is no state {said[:64]!r}")
        return RunState.UNREADABLE
