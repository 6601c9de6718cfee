"""Simulates schedules beside workers, and checks which ticks ran."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec

from mousetrap.jobs import MousetrapError
from mousetrap.pipeline import Pipeline
from mousetrap.scheduler import Scheduler, Schedules
from mousetrap.schedules import Change, Record, Schedule, created, paused, run_id_of_tick, ticks_between
from mousetrap.shapes import ENDS
from mousetrap.submit_run import Accepted, SubmitOptions, Submitter
from mousetrap.testing.simulation.simulation import KEYRING, Node
from simulation.ledger import Ledger, RunFacts

#: Between two looks of one scheduler.
_LOOK_S = 1.0
_LONG = timedelta(days=30)
#: Every tick runs, however late; or none while the run of the one before goes on.
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "all": {"missed": "all", "most": 1000, "catch_up": _LONG},
    "skip": {"overlap": "skip"},
}


class Timetable:
    """Schedules in the store of a cluster, and their runs. The caller chooses which processes look at them."""

    def __init__(
        self, pipeline: Pipeline, kind: str, work: Any, ledger: Ledger, client: Callable[[Node], Any]
    ) -> None:
        self._pipeline, self._kind, self._ledger, self._client = pipeline, kind, ledger, client
        self._input = msgspec.to_builtins(work)
        self._schedules: dict[Node, Schedules] = {}
        #: Names of schedules that were asked for, those that have done all that they are to do, and the records of those.
        self.asked: list[str] = []
        self.over: set[str] = set()
        self.records: dict[str, Record] = {}
        self._made = asyncio.Event()
        #: Whether ticks end: once they do, each schedule is looked at, and paused.
        self.ends = False

    @property
    def quiet(self) -> bool:
        return self.over >= set(self.asked)

    async def make(self, node: Node, every_s: int, policy: str) -> None:
        """An operator makes a schedule, and may not learn whether it is made."""
        name = f"{policy}{len(self.asked) + 1}"
        self.asked.append(name)
        self._made.set()
        schedule = Schedule(
            name,
            pipeline=self._pipeline.name,
            every=timedelta(seconds=every_s),
            input=self._input,
            **POLICIES[policy],
        )
        try:
            await self._kept(node).create(lambda now_ms: created(schedule, "api", Change("ops", now_ms)))
        except MousetrapError as error:
            node.process.note(f"may not have made schedule {name}: {error}")

    async def fire(self, node: Node) -> None:
        """A scheduler of this process, as long as it lives."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self.quiet:  # days can pass
                self._made.clear()
                await self._made.wait()
            with suppress(MousetrapError):
                await self._scheduler(node).look()
                if self.ends:
                    await self._end(self._kept(node))

    async def _end(self, schedules: Schedules) -> None:
        """After a last look: what is decided is submitted, and nothing more is."""
        now_ms = await schedules.now_ms()
        for name in self.asked:
            record = await schedules.change(name, lambda it, _: paused(it, Change("ops", now_ms)))
            if record is None:
                self.over.add(name)
            elif not record.owed:
                self.records[name] = record
                self.over.add(name)

    def _kept(self, node: Node) -> Schedules:
        if node not in self._schedules:
            self._schedules[node] = Schedules(self._client(node), "the store", KEYRING)
        return self._schedules[node]

    def _scheduler(self, node: Node) -> Scheduler:
        pipelines = {self._pipeline.name: self._pipeline}
        submitter = Submitter(node.store, node.queue, KEYRING, pipelines)
        submits = _Submits(submitter, self._kind, self._ledger)
        return Scheduler(self._kept(node), node.store, submits, pipelines, intake=submits, defaults={})

    def complaints(self) -> Iterator[str]:
        """Ticks without a run, and runs without a tick."""
        for name, record in self.records.items():
            ticks = list(ticks_between(record.schedule, record.created_ms, record.decided_ms))
            ids = {run_id_of_tick(record.schedule, record.created_ms, tick) for tick in ticks}
            runs = {run for run, facts in self._ledger.facts.items() if facts.schedule == name}
            if runs - ids:
                yield f"schedule {name} has runs of no tick: {sorted(runs - ids)}"
            ran = {run for run in runs if self._ledger.facts[run].accepted}
            if record.schedule.missed == "all" and ids - ran:
                yield f"schedule {name} has {len(ids)} ticks, and {len(ids - ran)} of them did not run"


class _Submits:
    """Submits a schedule's runs, and notes them as facts."""

    def __init__(self, submitter: Submitter, kind: str, ledger: Ledger) -> None:
        self._submitter, self._kind, self._ledger = submitter, kind, ledger

    def check(self, pipeline: Pipeline, size: int) -> None:
        """Takes any number of runs."""

    async def submit(
        self, pipeline: Pipeline, body: bytes, *, run_id: str, options: SubmitOptions
    ) -> Accepted:
        name = options.tags[0].removeprefix("schedule:")
        facts = self._ledger.facts.setdefault(run_id, RunFacts(self._kind, schedule=name))
        accepted = await self._submitter.submit(pipeline, body, run_id=run_id, options=options)
        if not facts.accepted and name.startswith("skip"):
            self._alone(name, run_id)
        facts.accepted = True
        return accepted

    def _alone(self, name: str, run_id: str) -> None:
        for other, facts in self._ledger.facts.items():
            goes_on = self._ledger.states.get(other) not in ENDS
            doubtful = facts.redriven or facts.forgotten or self._ledger.schedules_forgotten
            if other != run_id and facts.schedule == name and facts.accepted and goes_on and not doubtful:
                self._ledger.wrong.append(f"schedule {name} started {run_id} while {other} went on")
