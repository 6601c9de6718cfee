"""Reads runs, events and progress from the store's hashes and streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from mousetrap.jobs import DEFAULT_PRIORITY, TraceContext
from mousetrap.run_store.damage import Fields
from mousetrap.shapes import Event, Failure, Progress, Reference, Run, RunState

#: Kinds of events that have a value.
_WITH_VALUES = ("yielded", "closed", "fired")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun(Run):
    """A run as the store holds it."""

    #: The stage that it began with: the pipeline's first, unless it is a re-run.
    first: str = ""
    #: Of its first job.
    trace: TraceContext | None = None
    #: The worker that has its last job, or had it; empty for none, and where the records are not packed.
    worker: str = field(default="", compare=False)

    @property
    def restarted_trace(self) -> TraceContext | msgspec.UnsetType:
        """The context of a run that repeats it: another trace, which leads back."""
        return msgspec.UNSET if self.trace is None else self.trace.restarted()


def read_run(
    run_id: str,
    fields: Mapping[bytes, bytes],
    timeline: tuple[Event, ...] = (),
    damage: tuple[str, ...] = (),
) -> StoredRun:
    """The run in a hash of the store, all its fields or some; `damage` is what is known to be unreadable."""
    read = Fields(fields)
    stage = read.text("stage")
    trace = read.json("trace", TraceContext)
    return StoredRun(
        id=run_id,
        pipeline=read.text("pipeline"),
        state=_state(read),
        stage=stage,
        accepted_ms=read.number("accepted_ms"),
        updated_ms=read.number("updated_ms"),
        finished_ms=read.number("finished_ms", 0) or None,
        expires_ms=read.number("expires_ms", 0) or None,
        first=read.text("first", stage),
        trace=trace,
        trace_id=trace.trace_id or None if trace else None,
        worker=read.text("worker", ""),
        rerun_of=read.text("rerun_of", "") or None,
        input=read.json("input"),
        input_reference=read.json("input_reference", Reference),
        result=read.json("result"),
        result_reference=read.json("result_reference", Reference),
        failure=_whole(read.json("failure", Failure), timeline),
        progress=read.json("progress", Progress),
        due_ms=read.number("due_ms", 0) or None,
        priority=read.number("priority", DEFAULT_PRIORITY),
        tags=read.json("tags", tuple[str, ...]) or (),
        timeline=timeline,
        unreadable=(*damage, *read.faults),
    )


def by_name(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    """The fields of a hash or of a stream's entry, which come as names and values in turn."""
    return dict(zip(fields[::2], fields[1::2], strict=True))


def read_event(entry: tuple[bytes, Sequence[bytes] | None]) -> Event:
    """The event in an entry of a run's stream."""
    place, fields = entry
    read = Fields(by_name(fields or ()))
    kind = read.text("kind")
    is_value = kind in _WITH_VALUES
    return Event(
        id=place.decode(),
        kind=kind,
        # An entry with a time of its own came after one of a later time.
        at_ms=read.number("at", 0) or int(place.partition(b"-")[0]),
        stage=read.text("stage", "") or None,
        # A child's event is written under the job whose children the outermost fan has.
        job=read.text("child", "") or read.text("job", "") or None,
        attempt=read.number("attempt", 0) or None,
        worker=read.text("worker", "") or None,
        failure=None if is_value else read.json("data", Failure),
        value=read.json("data") if is_value else None,
        unreadable=tuple(read.faults),
    )


def read_progress(raw: bytes | None) -> Progress | None:
    """The progress in a field; None where there is none that can be read."""
    progress: Progress | None = Fields({b"progress": raw or b""}).json("progress", Progress)
    return progress


def _whole(failure: Failure | None, timeline: tuple[Event, ...]) -> Failure | None:
    """The run's failure with its traceback, which only the timeline keeps."""
    if failure is None or failure.traceback:
        return failure
    failures = (event.failure for event in reversed(timeline) if event.kind == "gave_up")
    return next((it for it in failures if it is not None and it.without_traceback() == failure), failure)


def _state(read: Fields) -> RunState:
    text = read.text("state")
    try:
        return RunState(text)
    except ValueError:
        if text:
            read.fault("state", f"there is no state {text[:64]!r}")
        return RunState.UNREADABLE
