"""Stops a worker at a signal, and ends its process in time."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from mousetrap.handlers import Hung, run_through
from mousetrap.serve_worker.watchdog import stack_of
from mousetrap.shutdown import (
    ExitCode,
    ExitGuard,
    SignalThread,
    end_tasks,
    exit_now,
    own_loop,
    own_signals,
)
from mousetrap.worker import Stop

#: Seconds after the grace in which a worker hands back, closes its connections and ends; less than `mousetrap up` and the
#: manifests give.
_AFTER_GRACE_S = 4.0
#: Seconds for that after a second signal.
_FORCED_S = 5.0
#: Seconds for the process to end once its work is over: what handlers left behind could keep it indefinitely.
LEAVING_S = 3.0
#: The same where some work was handed back: the stop is urgent.
_LEAVING_EARLY_S = 0.5
#: Seconds for tasks that handlers left on the event loop.
_TASKS_S = 1.0

_log = logging.getLogger("mousetrap.worker")


class StopSignals:
    """The stop of a worker, with a limit that holds whatever its handlers do.

    1. The first SIGTERM or SIGINT asks for a drain; the process ends at the latest _AFTER_GRACE_S after the grace.
    2. The second one asks for an end at once; the process ends at the latest _FORCED_S later.
    3. A drain that did not begin with a signal (the watchdog's, or burst mode's) has the same limits.
    """

    def __init__(self, guard: ExitGuard, grace: float, stop: Stop) -> None:
        self.stop = stop
        self._guard = guard
        self._grace = grace
        self._signals = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = SignalThread(self._on_signal)

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """From here on SIGTERM and SIGINT stop the worker that runs on `loop`.

        Not by the loop's own handlers: those wait for the loop, which may be blocked, and get what a forked child is sent.
        To the end of the process, in which its last lines must not be cut short.
        """
        self._loop = loop
        self._thread.begin()
        own_signals(signal.SIGTERM, signal.SIGINT)
        own_loop(loop)

    def hold_signals(self) -> None:
        """Takes the signals from the loop, whenever that begins to run: it would wait for a handler that blocks it."""
        self._thread.hold()

    def stop_for_hung_handler(self) -> None:
        """Begins to stop, as a first signal does, for a handler that hangs; from any thread."""
        why = "a handler did not stop, and its worker has not ended since"
        self._guard.end_within(self._grace + _AFTER_GRACE_S, ExitCode.WATCHDOG_ENDED, why)
        self._on_loop(self.stop.asked.set)

    async def limit_every_stop(self) -> None:
        """Sets the limits for a stop that did not begin with a signal."""
        await self.stop.asked.wait()
        self._limit_drain()
        await self.stop.forced.wait()
        self._limit_forced_stop()
        await asyncio.Event().wait()

    def _on_signal(self) -> None:
        self._signals += 1
        if self._signals == 1:
            self._limit_drain()
        else:
            self._limit_forced_stop()
        self._on_loop(self.stop.ask)

    def _on_loop(self, act: Callable[[], object]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the end is near
                self._loop.call_soon_threadsafe(act)

    def _limit_drain(self) -> None:
        why = f"the worker was asked to stop and has not ended in its {self._grace:g} s of grace and {_AFTER_GRACE_S:g} s more"
        self._guard.end_within(self._grace + _AFTER_GRACE_S, ExitCode.HANDED_BACK, why)

    def _limit_forced_stop(self) -> None:
        why = f"the worker was asked twice to stop and has not ended within {_FORCED_S:g} s"
        self._guard.end_within(_FORCED_S, ExitCode.HANDED_BACK, why)


def close_loop(
    runner: asyncio.Runner, guard: ExitGuard, code: ExitCode, end: str, hung: Sequence[Hung]
) -> ExitCode:
    """Closes the event loop and returns the exit code; where handlers still run it ends the process, and names them."""
    seconds = LEAVING_S if code == ExitCode.FINISHED else _LEAVING_EARLY_S
    guard.finish_within(seconds, code, f"stopped: {end}, but something keeps the process")
    for each in hung:
        _log.error(
            "a handler did not stop and is left behind. It is here:",
            extra={"run": each.run_id, "stage": each.stage, "attempt": each.attempt, "stack": stack_of(each)},
        )
    tasks_ended = not hung and run_through(runner.get_loop(), _end_other_tasks())
    _log.info("stopped: %s", end)
    if not tasks_ended:
        exit_now(code)
    runner.close()
    return code


async def _end_other_tasks() -> bool:
    return await end_tasks(*(asyncio.all_tasks() - {asyncio.current_task()}), timeout_s=_TASKS_S)
