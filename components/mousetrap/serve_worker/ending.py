"""Ends a worker when a signal asks for it: in order at the first signal, at once at the second, and never later than it must."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType

from mousetrap.handlers import Hung, run_through
from mousetrap.serve_worker.watchdog import WATCHDOG_ENDED, where
from mousetrap.shutdown import ExitGuard, end_tasks, exit_now, own_loop, own_signals
from mousetrap.worker import Stop

#: The exit code of a worker that gave some of its work back.
HANDED_BACK = 75
#: Seconds after the grace in which a worker hands back, closes its connections and ends; less than `mousetrap up` and the
#: manifests give. And seconds for that after a second signal.
_BEYOND_GRACE_S, _FORCED_S = 4.0, 5.0
#: Seconds for the process to end once its work is over: what handlers left behind could keep it for ever.
LEAVING_S = 3.0
_HURRY_S = 0.5  # where some was handed back, someone is in a hurry
#: Seconds for tasks that handlers left on the event loop.
_TASKS_S = 1.0

_log = logging.getLogger("mousetrap.worker")


class Ending:
    """What a signal does, and by when the process has ended then, whatever its handlers do."""

    def __init__(self, guard: ExitGuard, grace: float, stop: Stop) -> None:
        self.stop = stop
        self._guard = guard
        self._grace = grace
        self._signals = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """From here on SIGTERM and SIGINT end the worker that runs on `loop`.

        Not by the loop's own handlers: those wait for the loop, which may stand still, and hear what a forked child is sent.
        """
        self._loop = loop
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._heard)
        own_signals(signal.SIGTERM, signal.SIGINT)
        own_loop(loop)

    def begin(self) -> None:
        """Begins to stop, as a first signal does, for a handler that hangs; from any thread."""
        why = "a handler did not stop, and its worker has not ended since"
        self._guard.end_within(self._grace + _BEYOND_GRACE_S, WATCHDOG_ENDED, why)
        self._on_loop(self.stop.asked.set)

    async def bound(self) -> None:
        """Sees to it that what was begun by anyone ends in time."""
        await self.stop.asked.wait()
        self._bound_drain()
        await self.stop.forced.wait()
        self._bound_forced()
        await asyncio.Event().wait()

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals == 1:
            self._bound_drain()
        else:
            self._bound_forced()
        self._on_loop(self.stop.ask)

    def _on_loop(self, act: Callable[[], object]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the end is near
                self._loop.call_soon_threadsafe(act)

    def _bound_drain(self) -> None:
        why = f"the worker was asked to stop and has not ended in its {self._grace:g} s of grace and {_BEYOND_GRACE_S:g} s more"
        self._guard.end_within(self._grace + _BEYOND_GRACE_S, HANDED_BACK, why)

    def _bound_forced(self) -> None:
        why = f"the worker was asked twice to stop and has not ended within {_FORCED_S:g} s"
        self._guard.end_within(_FORCED_S, HANDED_BACK, why)


def left(runner: asyncio.Runner, guard: ExitGuard, code: int, end: str, hung: Sequence[Hung]) -> int:
    """Closes the event loop and returns the exit code; where handlers go on it ends the process with it, and names them."""
    seconds = LEAVING_S if code == 0 else _HURRY_S
    guard.finish_within(seconds, code, f"stopped: {end}, but something keeps the process")
    for each in hung:
        _log.error(
            "a handler did not stop and is left behind. It is here:",
            extra={"run": each.run_id, "stage": each.stage, "attempt": each.attempt, "stack": where(each)},
        )
    tasks_ended = not hung and run_through(runner.get_loop(), _end_other_tasks())
    _log.info("stopped: %s", end)
    if not tasks_ended:
        exit_now(code)
    runner.close()
    return code


async def _end_other_tasks() -> bool:
    return await end_tasks(*(asyncio.all_tasks() - {asyncio.current_task()}), timeout_s=_TASKS_S)
