"""Ends a worker that can do no work any more: its event loop stands still, or a handler does not stop."""

import faulthandler
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mousetrap.handlers import Hung
from mousetrap.serve_worker.vitals import Vitals
from mousetrap.shutdown import all_stacks, exit_now, stack, task_stack

#: The exit code of a worker that the watchdog ended: start it again.
WATCHDOG_ENDED = 70

#: Seconds between two looks.
_LOOK = 0.5

_log = logging.getLogger("mousetrap.worker")


class Watchdog:
    """A thread beside the event loop; `stop_taking` is called in it once a handler hangs for too long."""

    def __init__(self, vitals: Vitals, stop_taking: Callable[[], object]) -> None:
        #: Whether a handler that does not stop was the end of the worker.
        self.gave_up = False
        self._vitals = vitals
        self._patience = vitals.patience
        self._stop_taking = stop_taking
        self._over = threading.Event()
        self._warned = False
        self._awake_since = self._last_look = vitals.clock()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches in this block."""
        self._arm()
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
            faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            self._arm()
            self._look_at_clock()
            self._look_at_loop()
            self._look_at_handlers()

    def _arm(self) -> None:
        # A handler that keeps the interpreter's lock, as a regular expression can, stops this thread as well: then
        # faulthandler, which needs no lock, prints the stacks and ends the process with 1.
        faulthandler.dump_traceback_later(2 * self._patience, exit=True)

    def _look_at_clock(self) -> None:
        """A process that was paused as a whole (SIGSTOP, a laptop's sleep) is not blocked: its loop gets time to turn."""
        now = self._vitals.clock()
        if now - self._last_look > _LOOK + self._patience / 4:
            self._awake_since = now
        self._last_look = now

    def _look_at_loop(self) -> None:
        still = self._vitals.clock() - max(self._vitals.turned, self._awake_since)
        if still > self._patience:
            what = "the event loop has stood still for %.0f s: this worker ends with exit code %d, others get its jobs"
            exit_now(WATCHDOG_ENDED, lambda: _log.error(what, still, WATCHDOG_ENDED))
        if still > self._vitals.longest_still and not self._warned:
            _log.warning(
                "the event loop has stood still for %.0f s; what the threads do:",
                still,
                extra={"stack": all_stacks()},
            )
        elif still < self._vitals.longest_still and self._warned:
            _log.info("the event loop turns again")
        self._warned = still > self._vitals.longest_still

    def _look_at_handlers(self) -> None:
        since = self._vitals.clock() - self._patience
        hung = [each for each in self._vitals.stats.hung() if max(each.asked_at, self._awake_since) < since]
        if not hung or self.gave_up:
            return
        self.gave_up = True
        for each in hung:
            _log.error(
                "a handler was asked to stop %.0f s ago and goes on: this worker ends once its other jobs have; "
                "a handler that is `isolated` can be stopped. It is here:",
                self._vitals.clock() - each.asked_at,
                extra={
                    "run": each.run_id,
                    "stage": each.stage,
                    "attempt": each.attempt,
                    "stack": where(each),
                },
            )
        self._stop_taking()


def where(hung: Hung) -> str:
    """Where the handler is, the newest call last."""
    if hung.task is not None:
        return task_stack(hung.task)
    return stack(sys._current_frames().get(hung.thread))
