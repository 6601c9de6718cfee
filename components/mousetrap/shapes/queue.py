"""A stage's queue."""

from dataclasses import dataclass
from typing import Annotated

from mousetrap.shapes.doc import Doc


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The jobs that wait in a stage's queue for any worker; not those that are delayed or that a worker has prefetched."""

    name: Annotated[str, Doc(examples=("start_fetch",))]
    ready: Annotated[int, Doc("How many jobs wait for a worker.")]
    oldest_seconds: Annotated[
        float,
        Doc(
            "How long the oldest of them can have waited: since the job that was taken last came, or the queue was last seen "
            "empty, whichever is later."
        ),
    ]
