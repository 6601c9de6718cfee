"""Relays an outbox: takes rows, submits and settles them, until stopped."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

from mousetrap.outbox.batch import Batch, Batches, Submit
from mousetrap.outbox.errors import OutboxUnreachable
from mousetrap.outbox.rows import Passed, Refusal, Status, Taken
from mousetrap.retry import Backoff
from mousetrap.telemetry import OutageLog

#: Rows that are taken at once.
BATCH = 200
#: Seconds between two looks at an outbox that had nothing to submit: a new row waits for half of it on average.
IDLE_S = 0.2
#: Seconds between two log lines with what waits.
_LINE_S = 60.0
#: Seconds for which a key is passed over whose oldest row could not be taken, and how many keys at most: each is a
#: parameter of the query.
_LATE_KEY_S, _MAX_LATE_KEYS = 1.0, 2_000
_PAUSES = Backoff(first_s=0.2, longest_s=10.0)

_log = logging.getLogger("mousetrap.outbox")

T = TypeVar("T")


class TakesRows(Protocol):
    """What a relay needs of Rows."""

    def take(self, most: int, passed: Passed) -> Taken | None: ...

    def settle(
        self, taken: Taken, accepted: Sequence[int], refused: Sequence[Refusal], now_ms: int
    ) -> None: ...

    def status(self) -> Status: ...


class Relay:
    """Takes rows, submits each under its run id, and deletes those that were accepted.

    It may be killed anywhere: a row is deleted after its run was accepted, and submitted again under the same run id where
    that is not known.
    """

    def __init__(self, rows: TakesRows, submit: Submit) -> None:
        self._rows = rows
        self._batches = Batches(submit)
        #: Until when a key is passed over, by the monotonic clock.
        self._late: dict[str, float] = {}
        #: The database's driver blocks: its calls have one thread of their own.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._database = OutageLog(
            _log, "waiting for the outbox's database", "the outbox's database serves again"
        )
        self._runs = OutageLog(_log, "waiting: no run is accepted", "runs are accepted again")
        self._standby = OutageLog(_log, "standing by", "this relay serves now")
        self._failures = 0
        self._next_line_s = time.monotonic()
        #: Runs that were accepted since it began.
        self.submitted = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Relays until `stop` is set; the batch under way is finished. Raises OutboxRefused."""
        try:
            while not stop.is_set():
                if pause_s := await self._round():
                    with suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), pause_s)
        finally:
            self._thread.shutdown(wait=False)

    async def _round(self) -> float:
        """One batch. Returns the seconds to wait before the next."""
        try:
            await self._log_line()
            taken = await self._in_thread(partial(self._rows.take, BATCH, self._passed()))
            if taken is None:
                self._standby.began("another relay serves this SQLite database; one does so at a time")
                return IDLE_S
            batch = await self._submitted(taken)
        except OutboxUnreachable as error:
            self._database.began(str(error))
            return self._longer_pause()
        self._standby.ended()
        self._database.ended()
        self._pass_over(taken.late_keys)
        return self._pause_after(batch)

    async def _submitted(self, taken: Taken) -> Batch:
        """Submits what was taken; what is known of it then is settled in any case."""
        batch = self._batches.begin()
        if not taken.rows:
            return batch
        try:
            await self._batches.submit(taken, batch)
        finally:
            now_ms = int(time.time() * 1000)
            settle = partial(self._rows.settle, taken, batch.accepted, batch.refused, now_ms)
            await asyncio.shield(self._in_thread(settle))
        self.submitted += len(batch.accepted)
        return batch

    def _pause_after(self, batch: Batch) -> float:
        if batch.away:
            self._runs.began(batch.away)
            return self._longer_pause()
        self._failures = 0
        if batch.accepted:
            self._runs.ended()
        return 0.0 if batch.accepted or batch.refused else IDLE_S

    def _longer_pause(self) -> float:
        self._failures += 1
        return _PAUSES.pause(self._failures, random.random())

    def _passed(self) -> Passed:
        now_s = time.monotonic()
        self._late = {key: until_s for key, until_s in self._late.items() if until_s > now_s}
        return Passed(self._batches.held(), self._late.keys())

    def _pass_over(self, keys: frozenset[str]) -> None:
        until_s = time.monotonic() + _LATE_KEY_S
        for key in sorted(keys)[: _MAX_LATE_KEYS - len(self._late)]:
            self._late[key] = until_s

    async def _log_line(self) -> None:
        if time.monotonic() < self._next_line_s:
            return
        self._next_line_s = time.monotonic() + _LINE_S
        status = await self._in_thread(self._rows.status)
        age_s = (time.time() * 1000 - status.oldest_ms) / 1000 if status.oldest_ms else 0.0
        _log.info(
            "%d runs submitted; %d rows wait, the oldest for %.0f s; %d are set aside, which block %d others",
            *(self.submitted, status.waiting, age_s, status.set_aside, status.blocked),
        )

    def _in_thread(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._thread, call)
