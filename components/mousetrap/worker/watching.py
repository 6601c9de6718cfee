"""What a worker shows of itself to those who watch it from beside its event loop: what runs, what hangs, what is done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from mousetrap.handlers import Hung, HungHandlers


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An attempt under way; `since` is on time.monotonic()'s clock."""

    run_id: str
    stage: str
    attempt: int
    since: float


class Watching:
    """Written by run_worker, read from any thread.

    `run_worker` sets `state` as it goes on, `running` to the table of its attempts and `missing` to a count of its runners,
    and counts each outcome that it records.
    """

    def __init__(self) -> None:
        self.state: Literal["starting", "serving", "draining"] = "starting"
        #: To be called on the worker's event loop.
        self.running: Callable[[], Sequence[Running]] = tuple
        #: How many runners fewer than the concurrency are alive: a worker without any would take jobs and do none.
        self.missing: Callable[[], int] = int
        #: Whether the worker cancels its runners: any other cancellation of an attempt is not its own.
        self.forced = False
        #: Attempts that went well, and those that did not.
        self.done = self.failed = 0
        self.hung_handlers = HungHandlers()

    def hung(self) -> list[Hung]:
        """The handlers that were asked to stop and still run, the longest first."""
        return self.hung_handlers.list()
