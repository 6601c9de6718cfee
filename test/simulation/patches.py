"""Patches clock, log and wire format of the real process."""

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

from mousetrap.jobs import job
from mousetrap.testing.simulation.clock import SimulatedLoop


def patch_time(loop: SimulatedLoop) -> Callable[[], None]:
    """Patches `time` in all our modules that use it. Returns a function that restores it."""
    simulated = SimulatedTime(loop)
    ours = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("mousetrap.") and not name.startswith("mousetrap.testing")
    ]
    asking: list[Any] = [module for module in ours if getattr(module, "time", None) is time]
    for module in asking:
        module.time = simulated

    def undo() -> None:
        for module in asking:
            module.time = time

    return undo


def patch_format(version: Literal[2, 5]) -> Callable[[], None]:
    """Makes new runs those of this wire format. Returns a function that restores it."""
    before, job.NEW_RUNS = job.NEW_RUNS, version

    def undo() -> None:
        job.NEW_RUNS = before

    return undo


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


class LoggedErrors(logging.Handler):
    """Collects logged tracebacks: each one is a defect."""

    def __init__(self, wrong: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._wrong = wrong
        self._logger = logging.getLogger("mousetrap")
        self._before = self._logger.propagate, self._logger.level
        self._logger.propagate = False
        self._logger.setLevel(logging.ERROR)
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self._wrong.append(f"logged: {record.getMessage()}: {record.exc_info[1]!r}")

    def remove(self) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._before[0]
        self._logger.setLevel(self._before[1])
