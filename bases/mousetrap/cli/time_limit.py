"""Ends what a command waits for after a time."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from mousetrap.api_client import CommandFailed


class TimeOver(CommandFailed):
    """What was waited for has not happened in time."""

    code = 4


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raises TimeOver in this block after so many seconds; never for None. Only in the main thread, as Ctrl-C."""
    if seconds is None:
        yield
        return

    def over(*_: object) -> None:
        raise TimeOver

    before = signal.signal(signal.SIGALRM, over)
    # A timer of 0 seconds would be none.
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
