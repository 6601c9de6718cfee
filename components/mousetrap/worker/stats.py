"""Worker statistics, readable from any thread."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mousetrap.handlers import Hung, HungHandlers
from mousetrap.stage_minutes import StageCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An attempt under way; `since` is on time.monotonic()'s clock."""

    run_id: str
    pipeline: str
    stage: str
    attempt: int
    since: float


State = Literal["starting", "serving", "draining"]


class WorkerStats(StageCounts):
    """The state of a worker and the counts of its attempts; it runs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.state: State = "starting"
        #: The queues that it serves and takes nothing from now.
        self.paused: tuple[str, ...] = ()
        #: Set when one of these two has changed; for the worker's event loop.
        self.changed = asyncio.Event()
        #: Jobs that may run at once now.
        self.concurrency = 0
        #: Messages that wait for a free slot, by queue.
        self.prefetched: Callable[[], Mapping[str, int]] = dict
        #: The attempts under way; to be called on the worker's event loop.
        self.running: Callable[[], Sequence[Running]] = tuple
        self.hung_handlers = HungHandlers()
        #: How many runners fewer than the concurrency are alive: a worker without any would take jobs and do none.
        self.missing: Callable[[], int] = int

    def change(self, state: State, paused: tuple[str, ...]) -> None:
        """Notes what the worker does from now on, and wakes who waits for `changed`; to be called on the worker's event loop."""
        if (state, paused) != (self.state, self.paused):
            self.state, self.paused = state, paused
            self.changed.set()

    def hung(self) -> list[Hung]:
        """The handlers that were asked to stop and still run, the longest first."""
        return self.hung_handlers.list()
