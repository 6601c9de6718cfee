"""Ends the process when its time is over; logs what still runs."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, NoReturn

from mousetrap.shutdown.leftovers import all_stacks, left_behind

#: Seconds between two checks of the clock.
_POLL_S = 0.1
#: Seconds for the last lines of the log: their reader may have stopped.
_LOG_TIMEOUT_S = 1.0

_log = logging.getLogger("mousetrap")


class _End(NamedTuple):
    #: On time.monotonic()'s clock.
    at: float
    code: int
    why: str


class ExitGuard:
    """A thread that ends the process.

    1. It starts once, and stays until the process has ended.
    2. `end_within` and `finish_within` set the time of the end.
    3. At that time it logs what still runs, and ends the process with the exit code.

    It can do nothing while a handler keeps the interpreter's lock, as a regular expression can.
    """

    def __init__(self) -> None:
        self._end = _End(float("inf"), 0, "")
        #: Two threads may set it; and a signal's handler, in a thread that is just setting it.
        self._lock = threading.RLock()

    def start(self) -> None:
        """Starts the thread."""
        threading.Thread(target=self._watch, name="exit guard", daemon=True).start()

    def end_within(self, seconds: float, code: int, why: str) -> None:
        """Ends the process with `code` after so many seconds, unless it is to end earlier. May be called by a signal handler."""
        end = _End(time.monotonic() + seconds, code, why)
        with self._lock:
            self._end = min(self._end, end)

    def finish_within(self, seconds: float, code: int, why: str) -> None:
        """As `end_within`, but replaces an earlier end: the work is over, with `code`."""
        with self._lock:
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
    """Ends children that are daemons, as `multiprocessing` does at the end of the interpreter, which is not reached."""
    multiprocessing = sys.modules.get("multiprocessing")
    for child in multiprocessing.active_children() if multiprocessing else ():
        if child.daemon:
            child.terminate()
