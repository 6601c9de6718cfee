"""Opens what handlers depend on, and closes it in time."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from mousetrap.handlers import Binding, BoundHandler, HandlerHost, HungHandlers, bound
from mousetrap.isolated_handlers import IsolatedHandler
from mousetrap.retry import error_kind, error_text
from mousetrap.run_store import RunStore
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.outages import Outages, stopped_by
from mousetrap.worker.stop import Stop

_log = logging.getLogger("mousetrap.worker")

#: Characters of an error's text in a log line.
_MAX_TEXT = 1_000
#: Seconds that lifespans have to close though nothing is left of the grace period.
_CLOSE_S = 2.0


@asynccontextmanager
async def open_handlers(
    bindings: Sequence[Binding],
    store: RunStore,
    hung: HungHandlers,
    options: WorkerOptions,
    outages: Outages,
    stop: Stop,
) -> AsyncIterator[list[BoundHandler]]:
    """The bindings with their dependencies, which may be away for a while as the queue and the store may be.

    Raises StoppedWaiting when `stop` is asked for before all are open.
    """
    async with _closed_in_time(stop) as stack:
        threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="handler")
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        host = HandlerHost(threads=threads, hung=hung, report=store.report)
        handlers: list[BoundHandler] = []
        for binding in bindings:
            if binding.isolated:
                isolated = IsolatedHandler(binding, host, processes=options.concurrency)
                stack.push_async_callback(isolated.close)
                handlers.append(isolated)
                continue
            act = f"open what stage {binding.stage_name} needs"
            async with stopped_by(stop.asked):
                deps = await outages.retry_until_up(act, _enter, stack, binding.lifespan, binding.stage_name)
            handlers.append(bound(binding, deps, host))
        yield handlers


async def _enter(stack: AsyncExitStack, lifespan: Callable[[], Any], stage: str) -> Any:
    """Raises as the lifespan does; what is no ordinary error, and not our own cancellation, as RuntimeError."""
    task = asyncio.current_task()
    try:
        return await stack.enter_async_context(lifespan())
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if task is not None and task.cancelling():
            raise
        what = f"{error_kind(error)}: {error_text(error, _MAX_TEXT)}"
        raise RuntimeError(f"the lifespan of stage {stage!r} raised {what}") from error


@asynccontextmanager
async def _closed_in_time(stop: Stop) -> AsyncIterator[AsyncExitStack]:
    """A stack that is cancelled while it closes, once the time for the worker's end is over."""
    stack = AsyncExitStack()
    try:
        yield stack
    finally:
        now = asyncio.get_running_loop().time()
        seconds = max(_CLOSE_S, (stop.end_at or now) - now)
        try:
            async with asyncio.timeout(seconds) as limit:
                await stack.__aexit__(*sys.exc_info())
        except TimeoutError:
            if not limit.expired():
                raise
            _log.error(
                "what the stages need did not close in %.0f s: going on without", seconds, exc_info=True
            )
