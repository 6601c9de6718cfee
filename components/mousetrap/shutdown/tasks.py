"""Ends background tasks: cancels them until they have ended, within a timeout."""

import asyncio
import logging
from typing import Any

#: Seconds between two cancellations of one task. A client of a server can lose a cancellation that coincides with its own
#: timeout (asyncio.wait_for before Python 3.12 does); a task has this long to tidy up after the first.
AGAIN_S = 1.0
#: Seconds for all of it.
TIMEOUT_S = 5.0

_log = logging.getLogger("mousetrap")


async def end_tasks(
    *tasks: "asyncio.Task[Any] | None", timeout_s: float = TIMEOUT_S, again_s: float = AGAIN_S
) -> bool:
    """Cancels the tasks and returns when they have ended: True, or False after `timeout_s` seconds. None is ignored.

    Errors of a task are not raised here. A task that is left is named in the log, and goes on.
    """
    loop = asyncio.get_running_loop()
    end, left = loop.time() + timeout_s, {task for task in tasks if task is not None and not task.done()}
    while left and loop.time() < end:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=max(0.0, min(again_s, end - loop.time())))
    if left:
        names = ", ".join(sorted(task.get_name() for task in left))
        _log.warning("%s: cancelled, and still running after %g s", names, timeout_s)
    return not left


def uncancel() -> None:
    """Undoes each cancellation of the running task."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
