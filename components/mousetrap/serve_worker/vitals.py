"""A worker's health: written on its event loop, read from any thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from mousetrap.shapes import BEAT_S, WorkerState
from mousetrap.worker import WorkerStats

#: Seconds for which the last check of broker and store counts.
_CHECK_VALID_S = 3 * BEAT_S
#: Seconds for which an event loop may be blocked and count as alive, at most.
_MAX_BLOCKED_S = 10.0


@dataclass(slots=True, kw_only=True)
class Vitals:
    """Each check replaces the one before; the times are on `clock`."""

    stats: WorkerStats
    #: Seconds for which the event loop may be blocked; then the worker ends.
    auto_kill_s: float
    clock: Callable[[], float] = time.monotonic
    #: When the event loop turned last.
    turned: float = field(init=False)
    #: What did not answer at the last check, and when that was; both before the first.
    away: tuple[str, ...] = ("broker", "store")
    looked: float = float("-inf")
    #: Seconds that the store took for the last beat.
    beat_s: float = 0.0
    #: Whether the broker lacked memory or disk at the last check.
    blocked: bool = False
    #: How often each ceased to answer, as the checks saw it.
    outages: dict[str, int] = field(default_factory=lambda: {"broker": 0, "store": 0})

    def __post_init__(self) -> None:
        self.turned = self.clock()

    def turn(self) -> None:
        """Records that the event loop turns."""
        self.turned = self.clock()

    def look(self, *, broker: bool, store: bool, blocked: bool = False) -> None:
        """Records whether broker and store have just answered; one that is `blocked` does not."""
        before = self.away
        self.away = tuple(part for part, there in (("broker", broker), ("store", store)) if not there)
        for part in self.away:
            self.outages[part] += part not in before
        self.looked, self.blocked = self.clock(), blocked

    @property
    def max_blocked_s(self) -> float:
        """Seconds for which the event loop may be blocked and count as alive."""
        return min(_MAX_BLOCKED_S, self.auto_kill_s / 2)

    @property
    def state(self) -> WorkerState:
        """The worker's state, for a beat."""
        if any(self.clock() - hung.asked_at > self.max_blocked_s for hung in self.stats.hung()):
            return "stuck"
        return "waiting" if "broker" in self.away and self.stats.state == "serving" else self.stats.state

    def why_not_live(self) -> str | None:
        """The reason for a restart; that broker or store are away is none."""
        blocked = self.clock() - self.turned
        return f"the event loop is blocked for {blocked:.0f} s" if blocked > self.max_blocked_s else None

    def why_not_ready(self) -> str | None:
        """What keeps the worker from running jobs now."""
        if (blocked := self.why_not_live()) is not None:
            return blocked
        if self.stats.state != "serving":
            return self.stats.state
        if self.state == "stuck":
            return "a handler does not stop"
        if missing := self.stats.missing():
            return f"{missing} of its runners have ended"
        away = self.away if self.clock() - self.looked < _CHECK_VALID_S else ("broker", "store")
        return f"waiting for: {', '.join(away)}" if away else None
