"""A worker, by its last heartbeat."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from mousetrap.shapes.control import WorkerRequest
from mousetrap.shapes.doc import Doc

#: Seconds between two beats of a worker.
BEAT_S = 5.0

#: `waiting` is for the broker; `stuck` means that a handler does not stop; a reader sets `stale` for a worker without beats.
WorkerState = Literal["starting", "serving", "draining", "waiting", "stuck", "stale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """An attempt that a worker has under way."""

    run_id: Annotated[str, Doc(examples=("019b1f0c6a7e4d5f8a9b0c1d2e3f4a5b",))]
    stage: str
    attempt: int
    seconds: Annotated[float, Doc("How long it had been so at the worker's last beat.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a worker is and does at this moment."""

    name: Annotated[str, Doc(examples=("host-4711-9f3c",))]
    host: str
    pid: int
    version: str
    stages: Annotated[tuple[str, ...], Doc(examples=(["earthquakes.fetch"],))]
    queues: Annotated[tuple[str, ...], Doc(examples=(["start_fetch"],))]
    concurrency: int
    state: Annotated[WorkerState, Doc("`stale` when its beats stopped and it has not left.")]
    done: Annotated[int, Doc("Attempts that succeeded since it started.")]
    failed: Annotated[int, Doc("Attempts that failed since it started.")]
    running: int
    doing: Annotated[
        tuple[Doing, ...],
        Doc("The oldest hundred of those that run; of a stale worker, of those that ran at its last beat."),
    ]
    running_by_stage: Annotated[
        Mapping[str, int], Doc("How many run, by pipeline and stage.", ({"earthquakes.fetch": 3},))
    ] = field(default_factory=dict)
    paused: Annotated[
        tuple[str, ...], Doc("The queues that it takes nothing from, as they are paused or it drains.")
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker(Beat):
    """A worker by its last beat; times are milliseconds since 1970."""

    #: Both by the store's clock.
    started_ms: int
    seen_ms: int
    silent: Annotated[float, Doc("Seconds since its last beat; one comes every five.")]
    asked: Annotated[WorkerRequest | None, Doc("What it is asked to do, by whom and why.")] = None
