"""Worker statistics, readable from any thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from mousetrap.handlers import Hung, HungHandlers
from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome, RetryLater
from mousetrap.telemetry import Observer


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An attempt under way; `since` is on time.monotonic()'s clock."""

    run_id: str
    pipeline: str
    stage: str
    attempt: int
    since: float


class WorkerStats(Observer):
    """The state of a worker and the counts of its attempts; it runs nothing."""

    def __init__(self) -> None:
        self.state: Literal["starting", "serving", "draining"] = "starting"
        #: Attempts that succeeded, and those that failed.
        self.done = self.failed = 0
        #: The attempts under way; to be called on the worker's event loop.
        self.running: Callable[[], Sequence[Running]] = tuple
        self.hung_handlers = HungHandlers()
        #: How many runners fewer than the concurrency are alive: a worker without any would take jobs and do none.
        self.missing: Callable[[], int] = int

    def hung(self) -> list[Hung]:
        """The handlers that were asked to stop and still run, the longest first."""
        return self.hung_handlers.list()

    def recorded(self, job: Job, outcome: Outcome, decision: str) -> None:
        """Counts the attempt; an outage of what the handler depends on is no failure of its own."""
        if decision != "recorded":
            return
        match outcome:
            case Done(instead_of=msgspec.UNSET):
                self.done += 1
            case Done() | GiveUp() | RetryLater(counted=True):
                self.failed += 1

    def refused(self, queue: str, failure: Failure) -> None:
        """Counts a message that is given up without an attempt."""
        self.failed += 1
