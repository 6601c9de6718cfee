"""Queues, and all of them together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from mousetrap.shapes.control import Pause
from mousetrap.shapes.doc import Doc
from mousetrap.shapes.minutes import Minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A stage's queue: the jobs in it, who takes them, and how fast."""

    name: Annotated[str, Doc(examples=("start_fetch",))]
    stages: Annotated[
        tuple[str, ...], Doc("Whose jobs are in it: pipeline and stage.", (["earthquakes.fetch"],))
    ]
    missing: Annotated[
        bool, Doc("Whether the broker does not have it: no worker or API of its pipeline has been up yet.")
    ] = False
    ready: Annotated[
        int,
        Doc("How many jobs wait for a worker; not those that are delayed or that a worker has prefetched."),
    ]
    running: Annotated[int, Doc("How many of its jobs workers had under way at their last beats.")]
    delayed: Annotated[
        int,
        Doc(
            "How many messages in it are not due: next attempts, runs with a delay, jobs that wait for a lock or for the jobs that "
            "they opened. As the workers note them with their beats; 100,000 at most."
        ),
    ]
    dead: Annotated[int, Doc("How many dead letters it has.")]
    consumers: Annotated[int, Doc("How many consumers the broker counts.")]
    workers: Annotated[int, Doc("How many workers serve it, by their beats.")]
    slots: Annotated[
        int,
        Doc(
            "How many jobs these can run at once, all together; one that serves other queues too shares its own."
        ),
    ]
    oldest_seconds: Annotated[
        float,
        Doc(
            "How long the oldest of them can have waited: since the job that was taken last came, or the queue was last seen "
            "empty, whichever is later."
        ),
    ]
    out_per_minute: Annotated[
        float,
        Doc("How many jobs of it began in a minute: the mean of the last five, by the workers' counts."),
    ]
    in_per_minute: Annotated[
        float | None,
        Doc(
            "How many came to it in a minute: those that left and what `ready` grew by since five minutes ago. null where nothing "
            "was seen of it then."
        ),
    ]
    paused: Annotated[
        Pause | None, Doc("Who paused it, when and why; null where workers take jobs from it.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLoad:
    """A stage: who serves it, what waits, and what it did in the last hour."""

    stage: Annotated[str, Doc("Pipeline and stage.", ("earthquakes.fetch",))]
    queue: Annotated[str, Doc(examples=("start_fetch",))]
    workers: int
    slots: Annotated[int, Doc("Of these; one that serves several stages shares its own among them.")]
    running: int
    waiting: Annotated[int, Doc("How many jobs are ready in its queue; those of other stages on it too.")]
    minutes: Annotated[tuple[Minute, ...], Doc("Of the last hour, those in which something was counted.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """All workers and queues together."""

    workers: Annotated[Mapping[str, int], Doc("How many there are, by state.", ({"serving": 3, "stale": 1},))]
    slots: Annotated[int, Doc("How many jobs the workers that serve can run at once.")]
    running: Annotated[int, Doc("How many jobs run, by the workers' last beats.")]
    waiting: Annotated[int, Doc("How many jobs are ready in all queues.")]
    delayed: int
    dead: int
    stages: tuple[StageLoad, ...]
    unserved: Annotated[
        tuple[str, ...], Doc("The stages that no worker serves: pipeline and stage.", (["papers.sum"],))
    ]
    paused: Annotated[Mapping[str, Pause], Doc("The queues that are paused.")] = field(default_factory=dict)
