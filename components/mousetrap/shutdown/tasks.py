"""Ends background tasks: cancels them again until they have ended, and waits for no longer than it may."""

import asyncio
import logging
from typing import Any

#: Seconds between two cancellations of one task. Clients of servers can lose one that meets the end of a time limit of
#: their own (asyncio.wait_for before Python 3.12 does); what tidies up after the first one has this long.
AGAIN_S = 1.0
#: Seconds for all of it.
TIMEOUT_S = 5.0

_log = logging.getLogger("mousetrap")


async def end_tasks(
    *tasks: "asyncio.Task[Any] | None", timeout_s: float = TIMEOUT_S, again_s: float = AGAIN_S
) -> bool:
    """Cancels the tasks and returns when they have ended: True, or False after `timeout_s` seconds. None is no task.

    What a task raises is not raised here. A task that is left is named in the log, and goes on.
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
    """Takes back each cancellation of the running task: it goes on as one that was never cancelled."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
