"""Rejects runs that could not be recorded, once the store can."""

import asyncio
import logging
from contextlib import suppress
from typing import NamedTuple

from mousetrap.jobs import MousetrapError
from mousetrap.run_store.packed.openings import NewRun
from mousetrap.run_store.packed.runs import PackedRuns

#: Between two tries of which none succeeded. Short and without growth: a worker that waits for the same store asks again after a
#: quarter of a second or more, and would begin what is to be rejected.
_PAUSE_S = 0.1
#: Runs of a try after one of which none succeeded, so that an outage costs little however many wait. Of so many, a cluster with one
#: server away serves some.
_FEW = 32
#: An outage longer than this is rare; a run that stands so long in memory would hide that it cannot be rejected at all.
_LONGEST_S = 3600.0
#: Once an outage is known no run is published unrecorded: what waits here was under way when it began.
_MOST = 10_000

_log = logging.getLogger("mousetrap.run_store")


class _Withdrawal(NamedTuple):
    run: NewRun
    failure: str
    #: By the event loop's clock: it is tried until then.
    until_s: float


class Withdrawals:
    """Rejects each run, many together and until the store has done so. One task does it while there are any."""

    def __init__(self, runs: PackedRuns) -> None:
        self._runs = runs
        self._waiting: list[_Withdrawal] = []
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def add(self, run: NewRun, failure: str) -> None:
        """Rejects the run as soon as the store can."""
        now = asyncio.get_running_loop().time()
        if len(self._waiting) >= _MOST or self._closing.is_set():
            _give_up(run)
            return
        self._waiting.append(_Withdrawal(run, failure, now + _LONGEST_S))
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Tries all once more, and logs those that are left."""
        self._closing.set()
        if self._task is not None:
            await self._task

    async def _work(self) -> None:
        most = _FEW
        try:
            while self._waiting:
                last = self._closing.is_set()
                done = await self._try(len(self._waiting) if last else most, last)
                most = max(_FEW, 2 * done)
                if not done:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._closing.wait(), _PAUSE_S)
        finally:
            self._task = None

    async def _try(self, most: int, last: bool) -> int:
        """How many were rejected, or given up. Those that were not wait behind all others."""
        trying, self._waiting = self._waiting[:most], self._waiting[most:]
        calls = (self._runs.withdraw(each.run, each.failure) for each in trying)
        results = await asyncio.gather(*calls, return_exceptions=True)
        now = asyncio.get_running_loop().time()
        kept: list[_Withdrawal] = []
        for each, result in zip(trying, results, strict=True):
            if not isinstance(result, BaseException):
                continue
            if last or now >= each.until_s or not isinstance(result, MousetrapError):
                _give_up(each.run)
            else:
                kept.append(each)
        self._waiting += kept
        return len(trying) - len(kept)


def _give_up(run: NewRun) -> None:
    _log.error(
        "a run was refused, and the store could not record that: it runs if the broker has its message",
        extra={"run": run.run_id},
    )
