"""Names the queues of a stage, and finds which takes a message."""

from typing import Annotated

from msgspec import Meta

from mousetrap.shapes import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY

Priority = Annotated[int, Meta(ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)]

#: The end of the names of queues that are taken from first. Long, so that no queue of a user ends so.
HIGH = ".high-priority"
_DEAD = ".dead"


def dead_queue(queue: str) -> str:
    """The queue of the dead letters of `queue`."""
    return f"{queue}{_DEAD}"


def high_queue(queue: str) -> str:
    """The queue of the jobs of `queue` whose priority is above the default: it is taken from first."""
    return f"{queue}{HIGH}"


def stage_queue(name: str) -> str:
    """The stage's queue that a high queue, or any other, belongs to."""
    return name.removesuffix(HIGH)


def queue_for(queue: str, priority: int) -> str:
    """Where a message of this priority for `queue` goes. Dead letters have one queue, whatever their priority."""
    return high_queue(queue) if priority > DEFAULT_PRIORITY and not queue.endswith(_DEAD) else queue


def queues_of(queue: str) -> tuple[str, ...]:
    """The queues that hold the messages of `queue`: its own, and that of the high levels, which dead letters have not."""
    return (queue,) if queue.endswith(_DEAD) else (queue, high_queue(queue))
