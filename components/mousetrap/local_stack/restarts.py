"""Decides whether a process of the stack that ended by itself is started again: pure."""

import signal
from typing import NamedTuple

from mousetrap.api_client import CommandFailed

#: Seconds before it is started again.
PAUSE = 1.0

#: It was told to end, or its settings are wrong: a new start would not mend that.
_NOT_AGAIN = (0, 2, 75)
#: Seconds that a life must last to count, and how many short ones in a row are borne.
_SHORT, _BORNE = 5.0, 3


class ProgramEnded(CommandFailed):
    """A program of the stack ended by itself, for good."""


class Life(NamedTuple):
    """One of a process's lives."""

    #: On any clock that does not step.
    began: float
    #: How many lives before it, in a row, were short.
    short: int = 0


def next_life(life: Life, code: int, now: float) -> Life | None:
    """The life that follows one that ended now, with this exit code or minus a signal's number; None for none."""
    short = life.short + 1 if now - life.began < _SHORT else 0
    return None if code in _NOT_AGAIN or short > _BORNE else Life(now + PAUSE, short)


def end_of(code: int) -> str:
    """An exit code, or minus a signal's number, for people."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
