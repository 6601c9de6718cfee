"""What a run looks like to those who ask, and how it is read from the store's hashes and streams."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from mousetrap.jobs import Failure


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

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self not in (RunState.QUEUED, RunState.RUNNING, RunState.RETRYING)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some runs, newest first, without their input, result and timeline."""

    runs: tuple[Run, ...]
    #: Ask with this for the runs that follow; None when there are no more.
    next: str | None


def read_run(run_id: str, fields: Mapping[bytes, bytes], timeline: tuple[Event, ...] = ()) -> Run:
    """The run that a hash of the store holds, whole or in part."""
    text = {key.decode(): value for key, value in fields.items()}
    return Run(
        id=run_id,
        pipeline=text["pipeline"].decode(),
        state=RunState(text["state"].decode()),
        stage=text["stage"].decode(),
        accepted_ms=int(text["accepted_ms"]),
        updated_ms=int(text["updated_ms"]),
        finished_ms=int(text["finished_ms"]) if "finished_ms" in text else None,
        expires_ms=int(text.get("expires_ms", b"0")) or None,
        first=text.get("first", text["stage"]).decode(),
        rerun_of=text.get("rerun_of", b"").decode() or None,
        input=_json(text.get("input")),
        result=_json(text.get("result")),
        failure=_failure(text.get("failure")),
        progress=read_progress(text.get("progress")),
        timeline=timeline,
    )


def read_event(entry: tuple[bytes, Mapping[bytes, bytes]]) -> Event:
    """The event that an entry of a run's stream holds."""
    place, fields = entry
    return Event(
        id=place.decode(),
        kind=fields[b"kind"].decode(),
        at_ms=int(place.partition(b"-")[0]),
        stage=fields[b"stage"].decode() or None,
        job=fields[b"job"].decode() or None,
        attempt=int(fields[b"attempt"]) or None,
        worker=fields[b"worker"].decode() or None,
        failure=_failure(fields[b"data"]),
    )


def read_progress(raw: bytes | None) -> Progress | None:
    """The progress that a field holds, if any."""
    return msgspec.json.decode(raw, type=Progress) if raw else None


def _json(raw: bytes | None) -> Any:
    return msgspec.json.decode(raw) if raw else None


def _failure(raw: bytes | None) -> Failure | None:
    return msgspec.json.decode(raw, type=Failure) if raw else None
