"""Decides whether a process that ended by itself is restarted: pure."""

import signal
from typing import NamedTuple

from mousetrap.api_client import CommandFailed
from mousetrap.shutdown import ExitCode

RESTART_DELAY_S = 1.0
#: A process that ran for less than this had a short run; after more than so many in a row it is not restarted.
_SHORT_RUN_S, MAX_SHORT_RUNS = 5.0, 3
#: It was asked to end, its settings are wrong, or it handed its jobs back: a restart would not help.
_FINAL_CODES = (ExitCode.FINISHED, ExitCode.SETTINGS_WRONG, ExitCode.HANDED_BACK)


class ProgramEnded(CommandFailed):
    """A program of the stack ended by itself and is not restarted."""


class Start(NamedTuple):
    """The last start of a process."""

    #: On a monotonic clock.
    at_s: float
    #: How many runs before it, in a row, were short.
    short_runs: int = 0


def next_start(last: Start, code: int, now: float) -> Start | None:
    """The start after an end with this exit code, or minus a signal's number; None for no restart."""
    short_runs = last.short_runs + 1 if now - last.at_s < _SHORT_RUN_S else 0
    if code in _FINAL_CODES or short_runs > MAX_SHORT_RUNS:
        return None
    return Start(now + RESTART_DELAY_S, short_runs)


def end_of(code: int) -> str:
    """An exit code, or minus a signal's number, for people."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
