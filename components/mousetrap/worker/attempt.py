"""An attempt under way: the job, the deliveries that brought it, and the claim it runs under."""

import asyncio
import time
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
    #: On time.monotonic()'s clock.
    began: float = field(default_factory=time.monotonic)
    #: Whether its handler is at work, or about to be: nothing is decided yet.
    performing: bool = False
    #: Whether the store has counted its beginning: a suspect's only once it is alone.
    counted: bool = False
    #: Whether a later claim won, so that this attempt may decide nothing any more.
    lost: bool = False
    #: Whether its run was ended from outside, so that nothing would follow from it.
    called_off: bool = False

    @classmethod
    def of_this_task(cls, job: Job, delivery: Delivery) -> "Attempt":
        """The attempt that the running task makes."""
        task = asyncio.current_task()
        assert task is not None
        return cls(job, [delivery], task)

    @property
    def queue(self) -> str:
        """Where the job came from."""
        return self.deliveries[0].queue

    @property
    def useless(self) -> bool:
        """Whether it was stopped because nobody needs what it would give."""
        return self.lost or self.called_off

    def lose(self) -> None:
        """Stops the handler, for another worker has the job."""
        self._stop()
        self.lost = True

    def call_off(self) -> None:
        """Stops the handler, for its run has ended."""
        self._stop()
        self.called_off = True

    def _stop(self) -> None:
        # An async handler is cancelled, an isolated one killed, a sync one can see it in its context. Once: a second
        # cancellation would reach what puts the attempt away.
        if not self.useless:
            self.task.cancel()
