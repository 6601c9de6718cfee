"""The exit codes of workers, API and command line."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a process ended; a supervisor starts it again after DEFECT and WATCHDOG_ENDED."""

    #: All that was begun is finished.
    FINISHED = 0
    #: A defect, or a handler that stopped the whole interpreter.
    DEFECT = 1
    #: A setting or an argument is wrong.
    SETTINGS_WRONG = 2
    #: The event loop was blocked, or a handler did not stop.
    WATCHDOG_ENDED = 70
    #: Some work was handed back for another worker.
    HANDED_BACK = 75
