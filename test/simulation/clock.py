"""Provides an event loop whose clock jumps to the next timer."""

import asyncio
import selectors
import time
from typing import Any

#: Milliseconds since 1970 at which each simulation begins: the middle of a day, so that no test depends on midnight.
EPOCH_MS = 1_800_014_400_000
#: Turns of the event loop without progress of time that count as a livelock.
_MAX_TURNS = 20_000


class Livelock(AssertionError):
    """The program runs without end and no time passes: it would use a whole core."""


class Deadlock(AssertionError):
    """A task waits, and no event is left that could end its wait."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs asyncio code on a simulated clock: sleeping takes no real time, and each run is the same."""

    def __init__(self) -> None:
        self._sleeper = _Sleeper()
        super().__init__(self._sleeper)

    def time(self) -> float:
        """Seconds since the simulation began; constant while code runs."""
        return self._sleeper.now

    @property
    def epoch_ms(self) -> int:
        """The time of day, as the simulated store server has it."""
        return EPOCH_MS + int(self.time() * 1000)


class _Sleeper(selectors.SelectSelector):
    """A selector without files, which waits for a timer by advancing the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("no event is left, and the simulation has not ended")
        if timeout <= 0:
            self._turns += 1
            if self._turns > _MAX_TURNS:
                raise Livelock(f"{_MAX_TURNS} turns of the event loop, and no time passed")
            return []
        self._turns = 0
        # A step too small for the float would never reach the timer.
        self.now += max(timeout, 1e-6)
        return []


class SimulatedTime:
    """Replaces the module `time` in code that reads the clock itself."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def time(self) -> float:
        return self._loop.epoch_ms / 1000

    def time_ns(self) -> int:
        return self._loop.epoch_ms * 1_000_000

    def monotonic(self) -> float:
        return self._loop.time()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)
