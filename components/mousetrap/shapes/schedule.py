"""A schedule and its ticks; times in milliseconds, spans in seconds."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from mousetrap.shapes.doc import Doc
from mousetrap.shapes.priority import DEFAULT_PRIORITY, PriorityShown


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A time at which a schedule fires."""

    at_ms: int
    local: Annotated[str, Doc("The same in the schedule's zone.", ("2026-11-30T02:30:00+01:00",))]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTick:
    """What became of a tick, or of several that were missed together."""

    at_ms: Annotated[int, Doc("The tick, of several the newest; of a run by hand when it was asked for.")]
    became: Literal["fired", "missed", "skipped", "refused"]
    cause: Literal["tick", "now", "backfill"] = "tick"
    decided_ms: int
    run_id: Annotated[str | None, Doc("Its run.")] = None
    count: Annotated[int, Doc("How many were missed together, the first hundred of them.")] = 1
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePause:
    """Who paused a schedule, when, and why."""

    who: str
    at_ms: int
    why: str = ""
    orphaned: Annotated[bool, Doc("It was declared in code, and is there no more.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule: when it starts which pipeline, what is next, and what became of its last ticks."""

    name: Annotated[str, Doc(examples=("nightly",))]
    pipeline: str
    cron: Annotated[str | None, Doc(examples=("30 2 * * *",))] = None
    tz: Annotated[str, Doc("The zone of `cron`.", ("Europe/Berlin",))] = "UTC"
    every: Annotated[float | None, Doc("Seconds between two ticks.")] = None
    anchor_ms: Annotated[int | None, Doc("Where the ticks of `every` are counted from.")] = None
    words: Annotated[str, Doc(examples=("At 02:30 every day (Europe/Berlin)",))]
    input: Annotated[Any, Doc("The pipeline's input; null for its defaults.")] = None
    tick_as: Annotated[str, Doc("The member of the input that gets the tick.")] = ""
    missed: Literal["skip", "once", "all"]
    most: int
    catch_up: float
    overlap: Literal["allow", "skip", "queue_one", "cancel_running"]
    jitter: float
    expires_after: float | None = None
    tags: tuple[str, ...] = ()
    priority: PriorityShown = DEFAULT_PRIORITY
    origin: Annotated[
        Literal["code", "worker", "api"],
        Doc(
            "Declared in the catalogue's code, in that of its pipeline's workers, or made over HTTP: only then it is changed here."
        ),
    ]
    created_ms: int
    changed_ms: int
    changed_by: str
    next: Annotated[tuple[Tick, ...], Doc("The next ticks; none while it is paused.")] = ()
    past: Annotated[tuple[PastTick, ...], Doc("What became of the last fifty, the newest first.")] = ()
    last_run: Annotated[str | None, Doc("The run of the last tick that fired.")] = None
    owed: Annotated[int, Doc("Runs that are to be submitted.")] = 0
    waiting_ms: Annotated[int | None, Doc("A tick that waits for the last run to end.")] = None
    overdue: Annotated[bool, Doc("Whether a tick is more than ten seconds late.")] = False
    waits: Annotated[str, Doc("Why it does not go on just now: what is away.")] = ""
    paused: SchedulePause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePage:
    """Some schedules, by name."""

    schedules: tuple[Schedule, ...]
    next: Annotated[str | None, Doc("Ask with `after` set to this for those behind.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfilled:
    """What a backfill asked for."""

    schedule: str
    ticks: Annotated[int, Doc("How many ticks are in the span.")]
    owed: Annotated[int, Doc("Runs that are to be submitted now, these and others.")]
