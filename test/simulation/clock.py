"""An event loop whose clock jumps to the next timer instead of waiting for it."""

import asyncio
import selectors
import time
from typing import Any

#: Milliseconds since 1970 at which each simulation begins: the middle of a day, so that no test depends on midnight.
EPOCH_MS = 1_800_014_400_000
#: Turns of the loop in which no time goes by, after which something goes round hot.
_MOST_TURNS = 20_000


class RunsHot(AssertionError):
    """The program does step after step and no time goes by: it would take a whole core."""


class StandsStill(AssertionError):
    """Nothing is left that could ever happen, and somebody still waits."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """All that asyncio can do, in no time: sleeping costs nothing, and two runs of one program are alike."""

    def __init__(self) -> None:
        self._sleeper = _Sleeper()
        super().__init__(self._sleeper)

    def time(self) -> float:
        """Seconds since the simulation began; stands still while code runs."""
        return self._sleeper.now

    @property
    def epoch_ms(self) -> int:
        """The time of day, which the simulated store's server tells."""
        return EPOCH_MS + int(self.time() * 1000)


class _Sleeper(selectors.SelectSelector):
    """What the loop asks to wait for files and timers: it hears of no file, and waits for timers by moving the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise StandsStill("nothing is left to happen, and yet the story has not ended")
        if timeout <= 0:
            self._turns += 1
            if self._turns > _MOST_TURNS:
                raise RunsHot(f"{_MOST_TURNS} turns of the event loop, and no time went by")
            return []
        self._turns = 0
        # A timer that lies closer than a float can add would never come.
        self.now += max(timeout, 1e-6)
        return []


class SimulatedTime:
    """Stands in for the module `time` in code that asks for the time by itself."""

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
