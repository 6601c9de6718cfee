"""What a simulated world borrows from the real process while it lasts: the clock that modules ask, and the log."""

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from simulation.clock import SimulatedLoop, SimulatedTime


def simulated_time(loop: SimulatedLoop) -> Callable[[], None]:
    """Gives the simulated time to all modules of ours that ask for the time; what is returned takes it away again."""
    simulated = SimulatedTime(loop)
    ours = [module for name, module in list(sys.modules.items()) if name.startswith("mousetrap.")]
    asking: list[Any] = [module for module in ours if getattr(module, "time", None) is time]
    for module in asking:
        module.time = simulated

    def undo() -> None:
        for module in asking:
            module.time = time

    return undo


class Defects(logging.Handler):
    """Hears what the program logs: a traceback is a defect of its own."""

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
