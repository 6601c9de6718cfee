"""Runs a worker: opens its handlers, takes messages, leaves in order."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from mousetrap.handlers import Binding
from mousetrap.jobs import Queue
from mousetrap.run_store import RunStore
from mousetrap.shutdown import end_tasks, uncancel
from mousetrap.worker.attempts import Attempt, Attempts
from mousetrap.worker.fan_out import FanOuts
from mousetrap.worker.lifespans import open_handlers
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.outages import StoppedWaiting, stopped_by
from mousetrap.worker.parts import Parts, Shared, make_parts, make_shared
from mousetrap.worker.pauses import Pauses
from mousetrap.worker.send_children import ChildSender
from mousetrap.worker.stats import WorkerStats
from mousetrap.worker.stop import Stop
from mousetrap.worker.turns import DEFECT_PAUSE_S

_log = logging.getLogger("mousetrap.worker")

#: Seconds between two questions, in burst mode, whether the queues are empty.
_EMPTY_POLL_S = 0.1
#: Seconds to unsubscribe where nothing is left of the grace period.
_UNSUBSCRIBE_S = 0.5
#: Seconds to hand back the running jobs at a forced end, and after which they are cancelled again: a handler has one of them
#: to tidy up, and the store one and a half to answer.
_HAND_BACK_S, _AGAIN_S = 3.0, 2.5


async def run_worker(
    queue: Queue,
    store: RunStore,
    bindings: Sequence[Binding],
    options: WorkerOptions,
    stop: Stop,
    stats: WorkerStats | None = None,
    pauses: Pauses | None = None,
) -> bool:
    """Serves the bound stages until `stop` is asked for; True when every job begun was finished, False if some were handed back.

    `stats` is kept up to date. `pauses` may change while the worker runs.
    """
    shared = make_shared(queue, store, options, stats, pauses)
    outages, observer, hung = shared.outages, shared.observer, shared.stats.hung_handlers
    sender = ChildSender(queue, options, outages, observer, shared.gate)
    fan_outs = FanOuts(store, sender, outages, options, lambda info: attempts.opening(info))
    try:
        async with open_handlers(bindings, store, hung, options, outages, stop, fan_outs) as handlers:
            attempts = Attempts(store, handlers, options.lease, observer, shared.pauses)
            return await _run_parts(shared, make_parts(shared, handlers, attempts), stop)
    except StoppedWaiting:
        return True


async def _run_parts(shared: Shared, parts: Parts, stop: Stop) -> bool:
    """Takes messages until the stop, beside what renews leases, looks for cancels and follows the queue."""
    background = [
        asyncio.create_task(parts.attempts.renew_leases(), name="renew leases"),
        asyncio.create_task(parts.attempts.stop_cancelled(), name="stop cancelled attempts"),
        asyncio.create_task(parts.pool.follow(), name="pool"),
    ]
    try:
        await _until_known(shared.pauses, stop)
        background.append(asyncio.create_task(parts.lines.follow(shared.pauses), name="take from lines"))
        return await _Worker(shared, parts).run(stop)
    finally:
        await end_tasks(*background)
        await parts.lines.close()


async def _until_known(pauses: Pauses, stop: Stop) -> None:
    """Returns once it is known which queues are paused, or at the stop."""
    if not pauses.known.is_set():
        waits = [asyncio.create_task(it.wait()) for it in (pauses.known, stop.asked)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        await end_tasks(*waits)


class _Worker:
    """The tasks that take messages.

    1. As many runners start as jobs may run at once; a runner that ends early is replaced.
    2. The queues that are not paused are subscribed; the jobs of each turn of the event loop go together (`Turns`). What is not usual of them waits
       in `_alone` for a runner.
    3. A stop, or in burst mode an empty queue, begins the drain: it unsubscribes and hands back what waits.
    4. What has begun is finished within the grace period; then it is handed back, and the runners are cancelled.
    """

    def __init__(self, shared: Shared, parts: Parts) -> None:
        self._queue, self._options = shared.queue, shared.options
        self._stats, self._outages = shared.stats, shared.outages
        self._taking, self._processor, self._turns = parts.taking, parts.processor, parts.turns
        self._lines, self._alone, self._attempts = parts.lines, parts.alone, parts.attempts
        self._busy = 0
        self._runners: set[asyncio.Task[None]] = set()

    async def run(self, stop: Stop) -> bool:
        for _ in range(self._options.most):
            self._start_runner()
        self._stats.missing = lambda: self._options.most - len(self._runners)
        try:
            return await self._serve(stop)
        finally:
            self._attempts.handing_back = True
            self._turns.close()
            for runner in self._runners:
                runner.cancel()

    async def _serve(self, stop: Stop) -> bool:
        if not stop.asked.is_set():
            await self._taking.bring(self._stats)
        announcing = asyncio.create_task(self._announce(), name="announce")
        following = asyncio.create_task(self._taking.follow(self._stats), name="follow pauses")
        if self._options.burst:
            await self._until_empty(stop)
            stop.asked.set()
        else:
            await stop.asked.wait()
        await end_tasks(announcing, following)
        self._stats.change("draining", self._stats.paused)
        stop.end_at = asyncio.get_running_loop().time() + self._options.grace
        # The order of leaving: begin nothing new, take nothing new, hand back what waits, finish what runs.
        await self._unsubscribe(stop)
        return await self._finish(stop)

    async def _announce(self) -> None:
        """Logs that the worker serves once each queue's server has the subscription."""
        await self._taking.begun()
        paused = f"; paused: {', '.join(self._taking.paused)}" if self._taking.paused else ""
        _log.info("serving %s%s", ", ".join(self._taking.taken) or "no queue", paused)

    async def _unsubscribe(self, stop: Stop) -> None:
        waiting = self._turns.take_waiting()
        stopping = asyncio.create_task(self._taking.end())
        await self._in_time([stopping], stop)
        await asyncio.wait([stopping], timeout=_UNSUBSCRIBE_S)
        await end_tasks(stopping, timeout_s=_UNSUBSCRIBE_S)
        for delivery in (*waiting, *self._turns.take_waiting()):
            delivery.hand_back()

    async def _in_time(self, tasks: Sequence["asyncio.Task[None]"], stop: Stop) -> None:
        """Returns when the tasks have ended, the grace period is over, or a second signal has come."""
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
        """Replaces a runner that ended before its time: none may be missing while the worker takes jobs."""
        self._runners.discard(runner)
        error = asyncio.CancelledError() if runner.cancelled() else runner.exception()
        if error is not None and not self._attempts.handing_back:
            self._start_runner()  # first: a log that fails must not cost a runner
            _log.error("a runner ended, another one takes its place", exc_info=error)

    async def _run(self) -> None:
        """One of the runners."""
        while (alone := await self._alone.get()) is not None:
            self._busy += 1
            try:
                if isinstance(alone, Attempt):
                    await self._processor.process(alone)
                else:
                    await self._processor.refuse(*alone)
            except BaseException:  # a defect of ours must cost neither the worker nor the message
                if self._attempts.handing_back:
                    raise
                uncancel()
                deliveries = alone.deliveries if isinstance(alone, Attempt) else [alone[0]]
                _log.exception("could not handle a message of %s; it goes back", deliveries[0].queue)
                await asyncio.sleep(DEFECT_PAUSE_S)
                for delivery in deliveries:
                    delivery.hand_back()
            finally:
                self._busy -= 1
                self._turns.soon()

    async def _finish(self, stop: Stop) -> bool:
        await self._in_time([asyncio.create_task(self._all_finished())], stop)
        in_time = not self._runners
        self._attempts.handing_back = True
        left = [each for each in self._attempts.left() if each.task is None]
        handing_back = [asyncio.create_task(self._processor.hand_back(each)) for each in left]
        await end_tasks(*self._runners, timeout_s=_HAND_BACK_S, again_s=_AGAIN_S)
        if handing_back:
            await asyncio.wait(handing_back, timeout=_HAND_BACK_S)
        return in_time

    async def _all_finished(self) -> None:
        await self._attempts.none.wait()
        for _ in self._runners:
            self._alone.put_nowait(None)
        while self._runners:
            await asyncio.wait(self._runners)

    async def _until_empty(self, stop: Stop) -> None:
        """Returns when no message waits, and no job for a limit; or at the stop, which ends the wait for a broker that is away too."""
        with suppress(StoppedWaiting):
            async with stopped_by(stop.asked):
                while True:
                    await asyncio.sleep(_EMPTY_POLL_S)
                    if self._idle and not await self._waiting() and self._idle:
                        return

    @property
    def _idle(self) -> bool:
        return (
            not self._busy
            and self._alone.empty()
            and self._attempts.none.is_set()
            and not self._turns.waiting
        )

    async def _waiting(self) -> int:
        counts = [
            await self._outages.retry_until_up("count messages", self._queue.count_ready, name)
            for name in self._taking.taken
        ]
        return sum(counts) + await self._lines.waiting(self._taking.taken)
