"""A worker's life: open what handlers depend on, take messages, and leave in order when told to stop."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from mousetrap.jobs import Delivery, Queue
from mousetrap.retry import error_kind, error_text
from mousetrap.run_store import RunStore
from mousetrap.worker.binding import Binding, nothing
from mousetrap.worker.drain import Stop
from mousetrap.worker.handle import Handling
from mousetrap.worker.isolated import Children
from mousetrap.worker.leases import Leases
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.patience import Patience, StoppedWaiting
from mousetrap.worker.perform import Performer
from mousetrap.worker.watching import Watching

_log = logging.getLogger("mousetrap.worker")

#: Seconds between two looks, in burst mode, at whether the queues are empty.
_LOOK = 0.1
#: Seconds that a message waits after it met a defect of ours, so that it does not come round hot.
_DEFECT_PAUSE = 1.0
#: Characters of an error's text that a line of log holds.
_MAX_TEXT = 1_000


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
        async with _performers(bindings, options.concurrency, patience, stop, watching) as performers:
            leases = Leases(store, options.lease)
            watching.running = leases.running
            handling = Handling(queue, store, performers, leases, options, patience, watching)
            caring = [
                asyncio.create_task(each) for each in (leases.renew_for_ever(), leases.call_off_for_ever())
            ]
            try:
                return await _Serving(queue, handling, performers, options, watching).until(stop)
            finally:
                for task in caring:
                    task.cancel()
    except StoppedWaiting:
        return True


@asynccontextmanager
async def _performers(
    bindings: Sequence[Binding], concurrency: int, patience: Patience, stop: Stop, watching: Watching
) -> AsyncIterator[list[Performer]]:
    """The bindings with what they depend on, which may be away for a while as the queue and the store may be."""
    async with AsyncExitStack() as stack:
        threads = ThreadPoolExecutor(concurrency, thread_name_prefix="handler")
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        performers = []
        for binding in bindings:
            children = Children(binding, concurrency) if binding.isolated else None
            if children is not None:
                stack.push_async_callback(children.close)
            lifespan = nothing if binding.isolated else binding.lifespan
            deps = await patience.until_done(
                f"open what stage {binding.stage} needs",
                partial(_enter, stack, lifespan, binding.stage),
                stop.asked,
            )
            performers.append(Performer(binding, deps, threads, children, watching))
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


class _Serving:
    def __init__(
        self,
        queue: Queue,
        handling: Handling,
        performers: Sequence[Performer],
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
            self._end_runners()

    async def _serve(self, stop: Stop) -> bool:
        receive = self._received.put_nowait
        subscriptions = [
            await self._queue.consume(name, self._options.prefetch, receive) for name in self._queues
        ]
        self._watching.state = "serving"
        _log.info("serving %s", ", ".join(self._queues))
        if self._options.burst:
            await self._until_empty(stop)
        else:
            await stop.asked.wait()
        self._watching.state = "draining"
        # The order of leaving: begin nothing new, take nothing new, hand back what waits, finish what runs.
        waiting = self._take_waiting()
        for subscription in subscriptions:
            await subscription.stop()
        for delivery in (*waiting, *self._take_waiting()):
            delivery.hand_back()
        return await self._finish(stop)

    def _start_runner(self) -> None:
        runner = asyncio.create_task(self._run())
        self._runners.add(runner)
        runner.add_done_callback(self._runner_ended)

    def _runner_ended(self, runner: "asyncio.Task[None]") -> None:
        """Replaces a runner that ended before it was to: none may be missing while the worker takes jobs."""
        self._runners.discard(runner)
        error = asyncio.CancelledError() if runner.cancelled() else runner.exception()
        if error is not None and not self._forced:
            _log.error("a runner ended, another one takes its place", exc_info=error)
            self._start_runner()

    async def _run(self) -> None:
        """One of the runners: there are as many as jobs may run at once."""
        while (delivery := await self._received.get()) is not None:
            self._busy += 1
            try:
                await self._handling.handle(delivery)
            except BaseException:  # a defect of ours must cost neither the worker nor the message
                if self._forced:
                    raise
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
        forced = asyncio.create_task(stop.forced.wait())
        finished = asyncio.create_task(self._all_finished())
        await asyncio.wait(
            (finished, forced), timeout=self._options.grace, return_when=asyncio.FIRST_COMPLETED
        )
        forced.cancel()
        in_time = not self._runners
        self._end_runners()
        await finished
        return in_time

    def _end_runners(self) -> None:
        self._forced = True
        for runner in self._runners:
            runner.cancel()

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
