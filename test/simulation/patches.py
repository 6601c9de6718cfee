"""Patches the clock and the log of the real process."""

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from simulation.clock import SimulatedLoop, SimulatedTime


def patch_time(loop: SimulatedLoop) -> Callable[[], None]:
    """Patches `time` in all our modules that use it. Returns a function that restores it."""
    simulated = SimulatedTime(loop)
    ours = [module for name, module in list(sys.modules.items()) if name.startswith("mousetrap.")]
    asking: list[Any] = [module for module in ours if getattr(module, "time", None) is time]
    for module in asking:
        module.time = simulated

    def undo() -> None:
        for module in asking:
            module.time = time

    return undo


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
