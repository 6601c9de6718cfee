"""Runs a worker with hostile handlers between good ones."""

import asyncio
import math
import sys
import threading
from collections.abc import Callable
from typing import Any

from mousetrap.handlers import Binding, Context
from mousetrap.job_queue import open_queue
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.serve_worker import worker_main
from mousetrap.settings import Settings
from support import hostile_handlers as hostile

#: Jobs that one worker runs at once, and the attempts of each.
CONCURRENCY, ATTEMPTS = 8, 2
#: Seconds until all runners must have met.
_MEET_S = 60.0

_POLICY = RetryPolicy(attempts=ATTEMPTS, base=0.01, cap=0.01)


def _pipeline(name: str) -> Pipeline:
    stage = Stage(name="do", queue=f"test_{name}", input=str, output=float | str | None, retry=_POLICY)
    return Pipeline(name=name, description="Done by hostile handlers.", stages=(stage,))


IN_THREAD, IN_LOOP = _pipeline("hostile_in_thread"), _pipeline("hostile_in_loop")
QUEUES = [stage.queue for each in (IN_THREAD, IN_LOOP) for stage in each.stages]
#: Ways to fail that take more than a moment: one of each in a thousand jobs.
SLOW = ("huge", "deep", "wide")
#: Ways to fail by what is raised or returned, after which there is no second attempt.
BROKEN = ("nan", "coroutine", "generator")

#: Ways to stop the event loop under the handler.
STOPPING = ("task system-exit", "task keyboard", "loop system-exit", "loop keyboard", "loop stop")

_meeting = threading.Barrier(CONCURRENCY)


def _both(kind: str, context: Context[None]) -> tuple[bool, Any]:
    """Whether the job is one that sync and async handlers do alike, and what it gives."""
    match kind:
        case good if good.startswith("good"):
            return True, good
        case "nan":
            return True, math.nan
        case "progress":
            context.progress(math.inf)
        case "coroutine":
            return True, hostile.fail_later("panic")
        case "generator":
            return True, (number for number in range(3))
    return False, None


def do(kind: str, context: Context[None]) -> Any:
    """The sync handler."""
    done, value = _both(kind, context)
    if kind.startswith("meet"):
        _meeting.wait(_MEET_S)  # every thread, so every runner, is here
        return kind
    return value if done else hostile.fail(kind)


async def do_later(kind: str, context: Context[None]) -> Any:
    """The async handler."""
    await asyncio.sleep(0)
    done, value = _both(kind, context)
    own = {handler.__name__: handler for handler in hostile.CANCELLED}.get(kind)
    if own is not None:
        return await own(kind)
    if kind in STOPPING:
        what = kind.partition(" ")[2]
        return await (hostile.leave_in_a_task if kind.startswith("task") else hostile.stop_the_loop)(what)
    return value if done else await hostile.fail_later(kind)


def _binder(pipeline: Pipeline, handler: Callable[..., Any]) -> Callable[[Settings], Binding]:
    return lambda _: Binding(pipeline=pipeline, stage="do", handler=handler)


if __name__ == "__main__":
    binders = [_binder(IN_THREAD, do), _binder(IN_LOOP, do_later)]
    sys.exit(worker_main(open_queue, binders, "hostile", "Serves handlers that fail in every way."))
