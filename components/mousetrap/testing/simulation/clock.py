"""Provides an event loop whose clock jumps to the next timer."""

import asyncio
import selectors
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context
from typing import Any

#: Milliseconds since 1970 at which each simulation begins: the middle of a day, so that no test depends on midnight.
EPOCH_MS = 1_800_014_400_000
#: Turns of the event loop without progress of time that count as a livelock.
_MAX_TURNS = 20_000
#: Turns between two checks of the real clock.
_TURNS_A_CHECK = 500


class Livelock(AssertionError):
    """The program runs without end and no time passes: it would use a whole core."""


class Deadlock(AssertionError):
    """A task waits, and no event is left that could end its wait."""


class OutOfTime(AssertionError):
    """The simulation has run for too long on the real clock."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs asyncio code on a simulated clock: sleeping takes no real time, and each run is the same.

    The clock stands still while a thread works that `run_in_executor` or `thread_began` has announced.
    """

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

    def limit(self, seconds: float) -> None:
        """Raises OutOfTime once so many real seconds have passed."""
        self._sleeper.real_limit_s = seconds
        self._sleeper.real_end = time.monotonic() + seconds

    def thread_began(self) -> None:
        """A thread works for this loop; the clock waits for it."""
        self._sleeper.threads += 1

    def thread_ended(self) -> None:
        """Called on the loop, after what the thread has scheduled there."""
        self._sleeper.threads -= 1

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As any loop does. What a thread starts here it may wait for: until that has ended, the clock goes on."""
        if threading.get_ident() == getattr(self, "_thread_id", None):
            return super().call_soon_threadsafe(callback, *args, context=context)
        return super().call_soon_threadsafe(self._asked, callback, args, context=context)

    def _asked(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        before = asyncio.all_tasks(self)
        callback(*args)
        for task in asyncio.all_tasks(self) - before:
            self._sleeper.asked += 1
            task.add_done_callback(self._answered)

    def _answered(self, _: object) -> None:
        self._sleeper.asked -= 1

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """As any loop does, and the clock waits for it."""
        self.thread_began()
        future: asyncio.Future[Any] = super().run_in_executor(executor, func, *args)
        future.add_done_callback(lambda _: self.thread_ended())
        return future


class _Sleeper(selectors.SelectSelector):
    """A selector without files of its own, which waits for a timer by advancing the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        #: How many threads work for the loop.
        self.threads = 0
        #: How many tasks threads have started on the loop that have not ended.
        self.asked = 0
        self.real_limit_s = self.real_end = float("inf")
        self._turns = self._checked = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        self._check_the_real_clock()
        if self.threads > self.asked and (timeout is None or timeout > 0):
            return self._wait_for_threads()
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

    def _wait_for_threads(self) -> list[Any]:
        self._turns = 0
        left = self.real_end - time.monotonic()
        events = super().select(None if left == float("inf") else max(0.0, left))
        if not events:
            raise OutOfTime(f"a sync handler runs in its thread for {self.real_limit_s:g} s and does not end")
        return events

    def _check_the_real_clock(self) -> None:
        self._checked += 1
        if self._checked % _TURNS_A_CHECK == 0 and time.monotonic() > self.real_end:
            raise OutOfTime(f"the simulation has run for {self.real_limit_s:g} real seconds")
