"""Ends a worker with a blocked event loop or a hung handler."""

import faulthandler
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mousetrap.handlers import Hung
from mousetrap.serve_worker.vitals import Vitals
from mousetrap.shutdown import ExitCode, all_stacks, exit_now, stack, task_stack

#: Seconds between two checks.
_POLL_S = 0.5

_log = logging.getLogger("mousetrap.worker")


class Watchdog:
    """A thread beside the event loop.

    1. A loop that is blocked for long is logged once, with the stacks of all threads; after `auto_kill_s` the process ends.
    2. A handler that hangs for `auto_kill_s` is logged; then `stop_worker` is called, in this thread.
    3. A process that was paused as a whole gets its time again.
    """

    def __init__(self, vitals: Vitals, stop_worker: Callable[[], object]) -> None:
        #: Whether the worker was stopped for a handler that hangs.
        self.gave_up = False
        self._vitals = vitals
        self._auto_kill_s = vitals.auto_kill_s
        self._stop_worker = stop_worker
        self._over = threading.Event()
        self._warned = False
        self._awake_since = self._last_poll = vitals.clock()

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
        while not self._over.wait(_POLL_S):
            self._arm()
            self._check_clock()
            self._check_loop()
            self._check_handlers()

    def _arm(self) -> None:
        # A handler that keeps the interpreter's lock, as a regular expression can, stops this thread as well: then
        # faulthandler, which needs no lock, prints the stacks and ends the process with 1.
        faulthandler.dump_traceback_later(2 * self._auto_kill_s, exit=True)

    def _check_clock(self) -> None:
        """A process that was paused as a whole (SIGSTOP, a laptop's sleep) is not blocked: its loop gets time to turn."""
        now = self._vitals.clock()
        if now - self._last_poll > _POLL_S + self._auto_kill_s / 4:
            self._awake_since = now
        self._last_poll = now

    def _check_loop(self) -> None:
        blocked = self._vitals.clock() - max(self._vitals.turned, self._awake_since)
        if blocked > self._auto_kill_s:
            text = "the event loop is blocked for %.0f s: this worker ends with exit code %d, others get its jobs"
            code = ExitCode.WATCHDOG_ENDED
            exit_now(code, lambda: _log.error(text, blocked, code))
        if blocked > self._vitals.max_blocked_s and not self._warned:
            _log.warning(
                "the event loop is blocked for %.0f s; what the threads do:",
                blocked,
                extra={"stack": all_stacks()},
            )
        elif blocked < self._vitals.max_blocked_s and self._warned:
            _log.info("the event loop turns again")
        self._warned = blocked > self._vitals.max_blocked_s

    def _check_handlers(self) -> None:
        since = self._vitals.clock() - self._auto_kill_s
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
                    "stack": stack_of(each),
                },
            )
        self._stop_worker()


def stack_of(hung: Hung) -> str:
    """Where the handler is, the newest call last."""
    if hung.task is not None:
        return task_stack(hung.task)
    return stack(sys._current_frames().get(hung.thread))
