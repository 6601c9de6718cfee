"""What is known of a worker's health, and what follows from it: written on its event loop, read from any thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mousetrap.shapes import BEAT_S, WorkerState
from mousetrap.worker import WorkerStats

#: Seconds after which the last look at broker and store tells nothing of now.
_FRESH = 3 * BEAT_S
#: Seconds that an event loop may stand still and count as alive, at most.
_STILL = 10.0


@dataclass(slots=True, kw_only=True)
class Vitals:
    """Each look replaces the one before; the times are on `clock`."""

    stats: WorkerStats
    #: Seconds of standing still after which the worker ends.
    patience: float
    clock: Callable[[], float] = time.monotonic
    #: When the event loop turned last.
    turned: float = field(init=False)
    #: What did not answer at the last look, and when that was; both before the first.
    away: tuple[str, ...] = ("broker", "store")
    looked: float = float("-inf")

    def __post_init__(self) -> None:
        self.turned = self.clock()

    def turn(self) -> None:
        """The event loop turns."""
        self.turned = self.clock()

    def look(self, *, broker: bool, store: bool) -> None:
        """Broker and store have just answered, or not."""
        self.away = tuple(part for part, there in (("broker", broker), ("store", store)) if not there)
        self.looked = self.clock()

    @property
    def longest_still(self) -> float:
        """Seconds that the event loop may stand still and count as alive."""
        return min(_STILL, self.patience / 2)

    @property
    def state(self) -> WorkerState:
        """What the worker can say of itself in a beat."""
        if any(self.clock() - hung.asked_at > self.longest_still for hung in self.stats.hung()):
            return "stuck"
        return "waiting" if "broker" in self.away and self.stats.state == "serving" else self.stats.state

    def why_not_live(self) -> str | None:
        """What a restart would mend; that broker or store are away is nothing of the kind."""
        still = self.clock() - self.turned
        return f"the event loop has stood still for {still:.0f} s" if still > self.longest_still else None

    def why_not_ready(self) -> str | None:
        """What keeps the worker from doing jobs now."""
        if (still := self.why_not_live()) is not None:
            return still
        if self.stats.state != "serving":
            return self.stats.state
        if self.state == "stuck":
            return "a handler does not stop"
        if missing := self.stats.missing():
            return f"{missing} of its runners have ended"
        away = self.away if self.clock() - self.looked < _FRESH else ("broker", "store")
        return f"waiting for: {', '.join(away)}" if away else None
