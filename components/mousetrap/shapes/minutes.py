"""What stages did, minute by minute."""

from dataclasses import dataclass
from typing import Annotated

from mousetrap.shapes.doc import Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What a stage did in one minute, as its workers counted it; times are in milliseconds."""

    at_ms: Annotated[int, Doc("Its begin, in milliseconds since 1970, by the store's clock.")]
    begun: Annotated[int, Doc("Attempts that began.")] = 0
    done: Annotated[int, Doc("Attempts that succeeded.")] = 0
    failed: Annotated[int, Doc("Attempts after which the job was given up.")] = 0
    retried: Annotated[int, Doc("Attempts after which the job comes again.")] = 0
    wait_ms: Annotated[
        int,
        Doc("How long those that began had waited in the queue, all together; without the time of a delay."),
    ] = 0
    run_ms: Annotated[int, Doc("How long those that ended had run, all together.")] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMinutes:
    """The minutes of one stage in which it did something, oldest first."""

    stage: Annotated[str, Doc("Pipeline and stage.", ("earthquakes.fetch",))]
    minutes: tuple[Minute, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyAt:
    """How many jobs waited for a worker at the last look in a minute."""

    at_ms: int
    ready: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMinutes:
    """The last day of a queue, without the minutes in which nothing was counted; oldest first."""

    name: Annotated[str, Doc(examples=("start_fetch",))]
    stages: tuple[StageMinutes, ...]
    ready: Annotated[tuple[ReadyAt, ...], Doc("Seen by its workers, and by who asked for it.")]
