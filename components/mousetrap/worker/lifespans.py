"""Opens what handlers depend on, and closes it in time."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from mousetrap.handlers import AttemptInfo, Binding, BoundHandler, HandlerHost, HungHandlers, bound
from mousetrap.payloads import chunks_of
from mousetrap.retry import error_kind, error_text
from mousetrap.run_store import Kept, RunStore
from mousetrap.worker.fan_out import FanOuts
from mousetrap.worker.gathered import StoredPages
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
    fan_outs: FanOuts,
) -> AsyncIterator[list[BoundHandler]]:
    """The bindings with their dependencies, which may be away for a while as the queue and the store may be.

    Raises StoppedWaiting when `stop` is asked for before all are open.
    """
    async with _closed_in_time(stop) as stack:
        runtime = options.runtime
        threads = runtime.threads(options.most)
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        host = HandlerHost(
            threads=threads,
            hung=hung,
            worker=options.name,
            largest=store.payloads.largest,
            report=store.report,
            chance=runtime.chance,
            raised=runtime.raised,
            emit=partial(_keep, store, outages),
            chunks=chunks_of(store.payloads, outages.retry_until_up),
            children=fan_outs.of,
            gathered=partial(StoredPages, store, outages),
        )
        opened: dict[Callable[[], AbstractAsyncContextManager[Any]], Any] = {}
        handlers: list[BoundHandler] = []
        for binding in bindings:
            if binding.isolated:
                # With the libraries of processes and of pickles it takes 0.4 MiB.
                from mousetrap.isolated_handlers import IsolatedHandler

                isolated = IsolatedHandler(binding, host, processes=options.most)
                stack.push_async_callback(isolated.close)
                handlers.append(isolated)
                continue
            if binding.lifespan not in opened:  # one that several bindings share is entered once
                act = f"open what stage {binding.stage_name} needs"
                async with stopped_by(stop.asked):
                    opened[binding.lifespan] = await outages.retry_until_up(
                        act, _enter, stack, binding.lifespan, binding.stage_name
                    )
            handlers.append(bound(binding, opened[binding.lifespan], host))
        yield handlers


async def _keep(store: RunStore, outages: Outages, attempt: AttemptInfo, number: int, value: bytes) -> Kept:
    """Keeps a value that a handler yielded; it waits while the store is away, as far as its stage's timeout lets it."""
    return await outages.retry_until_up(
        "keep yielded values",
        store.keep_value,
        attempt.job_id,
        attempt.run_id,
        attempt.stage,
        attempt.attempt,
        attempt.fence,
        attempt.worker,
        number,
        value,
    )


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
