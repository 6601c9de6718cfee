"""An attempt under way: the job, the deliveries that brought it, and the claim it runs under."""

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any

from mousetrap.jobs import Delivery, Job


@dataclass(slots=True)
class Attempt:
    """The one mutable thing of a worker: lives from claim to settlement, in the table of what runs."""

    job: Job
    #: Usually one. After a lost connection the queue delivers the message again, and this attempt takes that over
    #: instead of starting a second one beside itself.
    deliveries: list[Delivery]
    task: "asyncio.Task[Any]"
    #: 0 until the store granted the claim.
    fence: int = 0
    #: Whether a later claim won, so that this attempt may decide nothing any more.
    lost: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of_this_task(cls, job: Job, delivery: Delivery) -> "Attempt":
        """The attempt that the running task makes."""
        task = asyncio.current_task()
        assert task is not None
        return cls(job, [delivery], task)

    def lose(self) -> None:
        """Stops the handler: an async one is cancelled, a sync one can see it in its context."""
        self.lost = True
        self.stopped.set()
        self.task.cancel()
