"""Fires schedules as an API does, and writes down what it submits.

`python -m chaos.scheduler FOLDER BROKER_URL STORE_URL`. SIGTERM ends it.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from chaos.ledger import Ledger
from chaos.skew import set_wrong
from chaos.workload import PAYLOADS, PIPELINES, QUEUES, SIGNING_KEYS, Work
from mousetrap.job_queue import QueueOptions, connect
from mousetrap.jobs import MousetrapError
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import open_store
from mousetrap.scheduler import Scheduler, Schedules, ScheduleTaken, open_schedules
from mousetrap.schedules import Change, Record, Schedule, created, paused
from mousetrap.signing import Keyring
from mousetrap.submit_run import Accepted, SubmitOptions, Submitter
from mousetrap.telemetry import log_to_stderr

#: The kind of the runs that schedules start.
TICKED = "ticked"
#: Every tick runs, however late; or none while the run of the one before goes on.
_POLICIES: Mapping[str, Mapping[str, Any]] = {
    "all": {"missed": "all", "most": 1000},
    "alone": {"overlap": "skip"},
}
_EVERY, _LOOK_S, _CONFIRM, _RETENTION = timedelta(seconds=1), 0.25, 5.0, 7200.0
#: Seconds until what schedules owe is submitted once nothing is broken any more.
_END_S = 60.0


class _Noting:
    """A submitter that writes down what it asked and what it was answered."""

    def __init__(self, submitter: Submitter, ledger: Ledger) -> None:
        self._submitter, self._ledger = submitter, ledger

    def check(self, pipeline: Pipeline, size: int) -> None:
        """Takes any number of runs."""

    async def submit(
        self, pipeline: Pipeline, body: bytes, *, run_id: str, options: SubmitOptions
    ) -> Accepted:
        self._ledger.note("attempted", run=run_id, kind=TICKED)
        try:
            accepted = await self._submitter.submit(pipeline, body, run_id=run_id, options=options)
        except MousetrapError:
            self._ledger.note("refused", run=run_id, kind=TICKED)
            raise
        self._ledger.note("accepted", run=run_id, kind=TICKED)
        return accepted


async def make_schedules(store_url: str) -> None:
    """One for each policy, with a tick a second."""
    work = msgspec.to_builtins(Work(order=0, kind=TICKED))
    async with open_schedules(store_url, keyring=Keyring.parse(SIGNING_KEYS)) as schedules:
        for name, policy in _POLICIES.items():
            schedule = Schedule(name, pipeline=TICKED, every=_EVERY, input=work, **policy)
            await _make(schedules, schedule)


async def _make(schedules: Schedules, schedule: Schedule) -> None:
    with suppress(ScheduleTaken):
        await schedules.create(lambda now_ms: created(schedule, "api", Change("chaos", now_ms)))


async def end_schedules(store_url: str) -> tuple[Record, ...]:
    """Pauses all, and gives what is kept of them once they owe nothing, or the time for that is over."""
    async with open_schedules(store_url, keyring=Keyring.parse(SIGNING_KEYS)) as schedules:
        for name in _POLICIES:
            await schedules.change(name, lambda it, now_ms: paused(it, Change("chaos", now_ms)))
        deadline = time.monotonic() + _END_S
        while True:
            records = await schedules.some(list(_POLICIES))
            if time.monotonic() > deadline or not any(it.owed for it in records):
                return tuple(records)
            await asyncio.sleep(_LOOK_S)


async def fire(folder: Path, broker_url: str, store_url: str) -> None:
    """Looks at what is due until SIGTERM."""
    stop, keyring = asyncio.Event(), Keyring.parse(SIGNING_KEYS)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options = QueueOptions(confirm_deadline=_CONFIRM)
    async with (
        connect(broker_url, QUEUES, name="scheduler", options=options) as queue,
        open_store(store_url, retention=_RETENTION, keyring=keyring, payloads=PAYLOADS) as store,
        open_schedules(store_url, keyring=keyring) as schedules,
    ):
        ledger = Ledger(folder / "ledger.jsonl")
        submits = _Noting(Submitter(store, queue, keyring, PIPELINES), ledger)
        scheduler = Scheduler(schedules, store, submits, PIPELINES, intake=submits, defaults={})
        print("scheduler is up", flush=True)
        while not stop.is_set():
            with suppress(MousetrapError):
                await scheduler.look()
            await asyncio.sleep(_LOOK_S)


if __name__ == "__main__":
    set_wrong(os.environ)
    log_to_stderr("INFO", "text")
    asyncio.run(fire(Path(sys.argv[1]), *sys.argv[2:4]))
