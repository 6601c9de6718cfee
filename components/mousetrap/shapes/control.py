"""Pauses of queues, and what workers are asked to do."""

from dataclasses import dataclass
from typing import Annotated, Literal

from mousetrap.shapes.doc import Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Who paused a queue, when and why."""

    who: Annotated[str, Doc("The id of the key.", ("anna",))]
    since_ms: Annotated[int, Doc("Milliseconds since 1970.")]
    why: Annotated[str, Doc("The reason that was given; empty for none.")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePause:
    """Whether a queue is paused, once that was asked for."""

    queue: Annotated[str, Doc(examples=("start_fetch",))]
    paused: Annotated[Pause | None, Doc("null where jobs are taken from it.")]
    changed: Annotated[bool, Doc("False where it was so before; then the first pause stands.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRequest:
    """What a worker is asked to do, by whom, when and why."""

    act: Annotated[
        Literal["drain", "stop"],
        Doc("`drain`: to finish what runs, to take nothing new, and to stay. `stop`: to drain and end."),
    ]
    who: Annotated[str, Doc("The id of the key.", ("anna",))]
    since_ms: Annotated[int, Doc("Milliseconds since 1970.")]
    why: Annotated[str, Doc("The reason that was given; empty for none.")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerAsked:
    """What a worker is asked to do now."""

    worker: Annotated[str, Doc(examples=("host-4711-9f3c",))]
    asked: Annotated[WorkerRequest | None, Doc("null where it is to serve, as ever.")]
