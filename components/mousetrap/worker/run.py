"""A worker's life: open what handlers depend on, take messages, and leave in order when told to stop."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from mousetrap.handlers import Binding, BoundHandler, HandlerHost, bound
from mousetrap.isolated_handlers import IsolatedHandler
from mousetrap.jobs import Delivery, Queue, Subscription
from mousetrap.retry import error_kind, error_text
from mousetrap.run_store import RunStore
from mousetrap.shutdown import end_tasks, uncancel
from mousetrap.worker.drain import Stop
from mousetrap.worker.handle import Handling
from mousetrap.worker.leases import Leases
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.patience import Patience, StoppedWaiting, unless
from mousetrap.worker.watching import Watching

_log = logging.getLogger("mousetrap.worker")

#: Seconds between two looks, in burst mode, at whether the queues are empty.
_LOOK = 0.1
#: Seconds that a message waits after it met a defect of ours, so that it does not come round hot.
_DEFECT_PAUSE = 1.0
#: Characters of an error's text that a line of log holds.
_MAX_TEXT = 1_000
#: Seconds for the queue to say that it delivers no more, where nothing is left of the grace.
_UNSUBSCRIBE_S = 0.5
#: Seconds that what is handed back at a forced end may take, and after which it is cancelled again: a handler has one of them
#: to tidy up, and the store one and a half to answer.
_HAND_BACK_S, _AGAIN_S = 3.0, 2.5
#: Seconds that lifespans have to close though nothing is left of the grace.
_CLOSE_S = 2.0


async def run_worker(
    queue: Queue,
    store: RunStore,
    bindings: Sequence[Binding],
    options: WorkerOptions,
    stop: Stop,
    watching: Watching | None = None,
) -> bool:
    """Serves the bound stages until told to stop; True when all that was begun got finished, False if some was handed back.

    `watching` shows meanwhile what goes on.
    """
    patience = Patience()
    watching = watching or Watching()
    try:
        async with _performers(store, bindings, options, patience, stop, watching) as performers:
            leases = Leases(store, options.lease)
            watching.running = leases.running
            handling = Handling(queue, store, performers, leases, options, patience, watching)
            caring = [
                asyncio.create_task(each) for each in (leases.renew_for_ever(), leases.call_off_for_ever())
            ]
            try:
                return await _Serving(queue, handling, performers, options, watching).until(stop)
            finally:
                await end_tasks(*caring)
    except StoppedWaiting:
        return True


@asynccontextmanager
async def _performers(
    store: RunStore,
    bindings: Sequence[Binding],
    options: WorkerOptions,
    patience: Patience,
    stop: Stop,
    watching: Watching,
) -> AsyncIterator[list[BoundHandler]]:
    """The bindings with what they depend on, which may be away for a while as the queue and the store may be."""
    async with _closed_in_time(stop) as stack:
        threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="handler")
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        host = HandlerHost(threads=threads, hung=watching.hung_handlers, report=store.report)
        performers: list[BoundHandler] = []
        for binding in bindings:
            if binding.isolated:
                isolated = IsolatedHandler(binding, host, processes=options.concurrency)
                stack.push_async_callback(isolated.close)
                performers.append(isolated)
                continue
            async with unless(stop.asked):
                deps = await patience.until_done(
                    f"open what stage {binding.stage_name} needs",
                    partial(_enter, stack, binding.lifespan, binding.stage_name),
                    stop.asked,
                )
            performers.append(bound(binding, deps, host))
        yield performers


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


class _Serving:
    def __init__(
        self,
        queue: Queue,
        handling: Handling,
        performers: Sequence[BoundHandler],
        options: WorkerOptions,
        watching: Watching,
    ) -> None:
        self._queue = queue
        self._queues = sorted({performer.stage.queue for performer in performers})
        self._handling = handling
        self._options = options
        self._watching = watching
        self._received: asyncio.Queue[Delivery | None] = asyncio.Queue()
        self._busy = 0
        self._runners: set[asyncio.Task[None]] = set()
        #: Whether the time to finish is over and the runners are cancelled.
        self._forced = False

    async def until(self, stop: Stop) -> bool:
        for _ in range(self._options.concurrency):
            self._start_runner()
        self._watching.missing = lambda: self._options.concurrency - len(self._runners)
        try:
            return await self._serve(stop)
        finally:
            self._forced = self._watching.forced = True
            for runner in self._runners:
                runner.cancel()

    async def _serve(self, stop: Stop) -> bool:
        receive = self._received.put_nowait
        subscriptions = [
            await self._queue.consume(name, self._options.prefetch, receive) for name in self._queues
        ]
        self._watching.state = "serving"
        announcing = asyncio.create_task(self._announce(subscriptions))
        if self._options.burst:
            await self._until_empty(stop)
            stop.asked.set()
        else:
            await stop.asked.wait()
        await end_tasks(announcing)
        self._watching.state = "draining"
        stop.end_at = asyncio.get_running_loop().time() + self._options.grace
        # The order of leaving: begin nothing new, take nothing new, hand back what waits, finish what runs.
        await self._take_no_more(subscriptions, stop)
        return await self._finish(stop)

    async def _announce(self, subscriptions: Sequence[Subscription]) -> None:
        """Says that the worker serves once each queue's server has heard of it."""
        for subscription in subscriptions:
            await subscription.begun()
        _log.info("serving %s", ", ".join(self._queues))

    async def _take_no_more(self, subscriptions: Sequence[Subscription], stop: Stop) -> None:
        waiting = self._take_waiting()
        stopping = [asyncio.create_task(subscription.stop()) for subscription in subscriptions]
        await self._in_time(stopping, stop)
        await asyncio.wait(stopping, timeout=_UNSUBSCRIBE_S)
        await end_tasks(*stopping, timeout_s=_UNSUBSCRIBE_S)
        for delivery in (*waiting, *self._take_waiting()):
            delivery.hand_back()

    async def _in_time(self, tasks: Sequence["asyncio.Task[None]"], stop: Stop) -> None:
        """Returns when the tasks have ended, the grace is over, or a second signal has come."""
        forced = asyncio.create_task(stop.forced.wait())
        ended = asyncio.create_task(asyncio.wait(tasks))
        left = max(0.0, (stop.end_at or 0.0) - asyncio.get_running_loop().time())
        await asyncio.wait((ended, forced), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        await end_tasks(ended, forced)

    def _start_runner(self) -> None:
        runner = asyncio.create_task(self._run())
        self._runners.add(runner)
        runner.add_done_callback(self._runner_ended)

    def _runner_ended(self, runner: "asyncio.Task[None]") -> None:
        """Replaces a runner that ended before it was to: none may be missing while the worker takes jobs."""
        self._runners.discard(runner)
        error = asyncio.CancelledError() if runner.cancelled() else runner.exception()
        if error is not None and not self._forced:
            self._start_runner()  # first: a log that fails must not cost a runner
            _log.error("a runner ended, another one takes its place", exc_info=error)

    async def _run(self) -> None:
        """One of the runners: there are as many as jobs may run at once."""
        while (delivery := await self._received.get()) is not None:
            self._busy += 1
            try:
                await self._handling.handle(delivery)
            except BaseException:  # a defect of ours must cost neither the worker nor the message
                if self._forced:
                    raise
                uncancel()
                _log.exception("could not handle a message of %s; it goes back", delivery.queue)
                await asyncio.sleep(_DEFECT_PAUSE)
                delivery.hand_back()
            finally:
                self._busy -= 1

    def _take_waiting(self) -> list[Delivery]:
        waiting = []
        while not self._received.empty():
            if (delivery := self._received.get_nowait()) is not None:
                waiting.append(delivery)
        return waiting

    async def _finish(self, stop: Stop) -> bool:
        for _ in self._runners:
            self._received.put_nowait(None)
        await self._in_time([asyncio.create_task(self._all_finished())], stop)
        in_time = not self._runners
        self._forced = self._watching.forced = True
        await end_tasks(*self._runners, timeout_s=_HAND_BACK_S, again_s=_AGAIN_S)
        return in_time

    async def _all_finished(self) -> None:
        while self._runners:
            await asyncio.wait(self._runners)

    async def _until_empty(self, stop: Stop) -> None:
        while not stop.asked.is_set():
            await asyncio.sleep(_LOOK)
            if self._idle and not await self._waiting() and self._idle:
                return

    @property
    def _idle(self) -> bool:
        return not self._busy and self._received.empty()

    async def _waiting(self) -> int:
        return sum([await self._handling.count(name) for name in self._queues])
