"""Sends a worker's heartbeat: to the registry and the log."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from mousetrap.jobs import MousetrapError, Queue, QueueBlocked
from mousetrap.serve_worker.vitals import Vitals
from mousetrap.shapes import BEAT_S, Beat, Doing
from mousetrap.telemetry import OutageLog
from mousetrap.worker_registry import WorkerRegistry

#: Attempts that a beat lists.
_MAX_LISTED = 100
#: Seconds for broker or store to answer.
_REPLY_TIMEOUT_S = 2.0
#: Tries to send the first beat: it has our pipelines, and who reads that we serve may start a run of them at once.
_FIRST_TRIES = 3
#: Seconds between two turns of the event loop that the watchdog may count on.
_TURN_INTERVAL_S = 0.25

#: What is sent with a beat; it gets how many jobs wait, by queue.
Report = Callable[[Mapping[str, int]], Awaitable[None]]

_log = logging.getLogger("mousetrap.worker")


async def turn_forever(vitals: Vitals) -> None:
    """Records again and again that the event loop turns."""
    while True:
        vitals.turn()
        await asyncio.sleep(_TURN_INTERVAL_S)


class Heartbeat:
    """What a worker reports of itself; it never disturbs the worker, whatever is away.

    1. Every few seconds it checks whether the broker and the store answer, and records that in the vitals.
    2. It sends the registry a beat: what the worker runs and has done. One goes at once when the worker's state changes.
    3. While both answer, it reports how many jobs wait in each queue, and for how long.
    4. What else is sent with a beat goes after that, once more at the end.
    5. Every `line_seconds` it logs a line of that.
    6. At the end it takes the worker off the registry's list.
    """

    def __init__(
        self, first: Beat, vitals: Vitals, queue: Queue, registry: WorkerRegistry, line_seconds: float
    ) -> None:
        self._first = first
        self._vitals = vitals
        self._queue = queue
        self._registry = registry
        self._line_seconds = line_seconds
        self._report: Report = _nothing
        self._store_outage = OutageLog(_log, "waiting for the store", "the store answers again")

    def send_along(self, report: Report) -> None:
        """Has `report` called with each beat."""
        self._report = report

    async def begin(self) -> None:
        """Sends the first beat: our pipelines are known once we serve. A store that is away gets the next one."""
        for _ in range(_FIRST_TRIES):
            if await _failure(self._registry.beat(self._now())) is None:
                return

    async def beat_forever(self) -> None:
        """Beats every few seconds, until it is cancelled."""
        line_due = time.monotonic() + self._line_seconds
        while True:
            self._vitals.stats.changed.clear()
            await self._beat()
            if time.monotonic() >= line_due:
                line_due += self._line_seconds
                _log.info(self.line())
            await self._pause(min(BEAT_S, self._line_seconds))

    async def leave(self) -> None:
        """Takes the worker off the list; where that fails it is listed as stale for an hour."""
        await _failure(self._report({}))
        await _failure(self._registry.leave(self._first.name))

    def line(self) -> str:
        """The worker's state, for its log."""
        stats = self._vitals.stats
        parts = [f"{part} {'away' if part in self._vitals.away else 'ok'}" for part in ("broker", "store")]
        counts = f"{len(stats.running())} running, {stats.done} done, {stats.failed} failed"
        return f"{self._vitals.state} {', '.join(self._first.queues)}: {counts}, {', '.join(parts)}"

    async def _pause(self, seconds: float) -> None:
        """Returns after so long; what changes meanwhile is sent at once."""
        due = time.monotonic() + seconds
        while await self._changes_within(due - time.monotonic()):
            await _failure(self._registry.beat(self._now()))

    async def _changes_within(self, seconds: float) -> bool:
        changed = self._vitals.stats.changed
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await changed.wait()
        there = changed.is_set()
        changed.clear()
        return there

    async def _beat(self) -> None:
        broker, blocked = await self._reaches_broker()
        self._vitals.look(broker=broker, store="store" not in self._vitals.away, blocked=blocked)
        store = await self._reaches_store()
        self._vitals.look(broker=broker, store=store, blocked=blocked)
        ready: dict[str, int] = {}
        for queue in self._first.queues if broker and store else ():
            await _failure(self._report_backlog(queue, ready))
        if store:
            await _failure(self._report(ready))

    async def _reaches_broker(self) -> tuple[bool, bool]:
        """Whether it answers, and whether it is blocked."""
        try:
            async with asyncio.timeout(_REPLY_TIMEOUT_S):
                await self._queue.check()
        except (MousetrapError, TimeoutError) as error:
            return False, isinstance(error, QueueBlocked)
        return True, False

    async def _reaches_store(self) -> bool:
        began = self._vitals.clock()
        failure = await _failure(self._registry.beat(self._now()))
        self._vitals.beat_s = self._vitals.clock() - began
        if failure is None:
            self._store_outage.ended()
        else:
            self._store_outage.began(
                f"{failure.rstrip('.')}. Check that it runs and that MOUSETRAP_STORE_URL names it"
            )
        return failure is None

    async def _report_backlog(self, queue: str, ready: dict[str, int]) -> None:
        backlog = await self._queue.backlog(queue)
        ready[queue] = backlog.ready
        await self._registry.look(queue, backlog)

    def _now(self) -> Beat:
        stats, now = self._vitals.stats, time.monotonic()
        running = stats.running()
        return replace(
            self._first,
            state=self._vitals.state,
            done=stats.done,
            failed=stats.failed,
            running=len(running),
            doing=tuple(
                Doing(run_id=each.run_id, stage=each.stage, attempt=each.attempt, seconds=now - each.since)
                for each in running[:_MAX_LISTED]
            ),
            concurrency=stats.concurrency or self._first.concurrency,
            paused=stats.paused,
            running_by_stage=Counter(f"{each.pipeline}.{each.stage}" for each in running),
        )


async def _nothing(_ready: Mapping[str, int]) -> None:
    """Sends nothing along."""


async def _failure(request: Awaitable[None]) -> str | None:
    """Why the request failed; None if it did not."""
    try:
        async with asyncio.timeout(_REPLY_TIMEOUT_S):
            await request
    except MousetrapError as error:
        return str(error)
    except TimeoutError:
        return f"no answer in {_REPLY_TIMEOUT_S:g} s"
    return None
