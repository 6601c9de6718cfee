"""Ends the process once its time is over, whatever still runs in it, and says what that is."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, NoReturn

from mousetrap.shutdown.left import all_stacks, left_behind

#: Seconds between two looks at the clock.
_POLL_S = 0.1
#: Seconds that the last lines of the log may take: their reader may have stopped.
_LOG_TIMEOUT_S = 1.0

_log = logging.getLogger("mousetrap")


class _End(NamedTuple):
    #: On time.monotonic()'s clock.
    at: float
    code: int
    why: str


class ExitGuard:
    """A thread beside everything else. Started once, it stays until the process has ended.

    It can do nothing while a handler keeps the interpreter's lock, as a regular expression can.
    """

    def __init__(self) -> None:
        self._end = _End(float("inf"), 0, "")

    def start(self) -> None:
        """Begins to watch the clock."""
        threading.Thread(target=self._watch, name="exit guard", daemon=True).start()

    def end_within(self, seconds: float, code: int, why: str) -> None:
        """Ends the process with `code` after so many seconds, unless it is to end earlier. May be called by a signal handler."""
        end = _End(time.monotonic() + seconds, code, why)
        self._end = min(self._end, end)

    def finish_within(self, seconds: float, code: int, why: str) -> None:
        """As `end_within`, in the place of what was said before: the work is over, and `code` says how."""
        self._end = _End(time.monotonic() + seconds, code, why)

    def _watch(self) -> None:
        while time.monotonic() < self._end.at:
            time.sleep(_POLL_S)
        exit_now(self._end.code, self._report)

    def _report(self) -> None:
        left = left_behind()
        _log.error(
            "%s: it ends now, with exit code %d; left behind: %s. What the threads do:",
            *(self._end.why, self._end.code, ", ".join(left) or "no thread and no process"),
            extra={"stack": all_stacks()},
        )


def exit_now(code: int, report: Callable[[], object] = lambda: None) -> NoReturn:
    """Ends the process, after `report` has written to the log if that does not take long. Threads are not waited for."""
    with suppress(RuntimeError):  # the interpreter is so far gone that it starts no thread
        last = threading.Thread(target=_last_words, args=(report,), name="last words", daemon=True)
        last.start()
        last.join(_LOG_TIMEOUT_S)
    _end_children()
    os._exit(code)


def _last_words(report: Callable[[], object]) -> None:
    report()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def _end_children() -> None:
    """What `multiprocessing` does at the end of the interpreter, which is not reached: children that are daemons end."""
    multiprocessing = sys.modules.get("multiprocessing")
    for child in multiprocessing.active_children() if multiprocessing else ():
        if child.daemon:
            child.terminate()
