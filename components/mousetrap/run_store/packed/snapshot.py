"""Reads all of a packed run at one moment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec

from mousetrap.run_store.damage import is_damage
from mousetrap.run_store.decode_run import StoredRun, read_run
from mousetrap.run_store.keys import packed_events_key, packed_job_key, packed_progress_key, packed_run_key
from mousetrap.run_store.packed.chain import Chain, Routes, follow
from mousetrap.run_store.packed.fan_state import FanState, ask_fan, read_fan, shown_fan
from mousetrap.run_store.packed.fields import shown
from mousetrap.run_store.packed.heads import read_run_head
from mousetrap.run_store.packed.timeline import NEWEST, Entry, job_of, order, read_events
from mousetrap.run_store.records import RecordBroken, RunRecord
from mousetrap.shapes import Event, Fan, Progress
from mousetrap.store_client import Command, StoreClient


class Snapshot(NamedTuple):
    """What the store has of a run at one moment."""

    run_id: str
    #: None where it is damaged, or there is none.
    run: RunRecord | None
    #: The entries of its stream that were asked for, and the last ones, newest first.
    entries: Sequence[Entry]
    newest: Sequence[Entry]
    #: Its jobs.
    chain: Chain
    progress: bytes | None
    damage: tuple[str, ...]
    #: The fans of its jobs.
    fans: Mapping[str, FanState] = {}

    @property
    def events(self) -> tuple[Event, ...]:
        """The events of the entries, and those that are not written yet."""
        return tuple(read_events(self.run, self.entries, self.newest, self.chain))

    def read(self) -> StoredRun | None:
        """The run; None for an unknown one."""
        if self.run is None:
            return read_run(self.run_id, {}, self.events, self.damage) if self.damage else None
        run = shown(
            self.run_id,
            self.run,
            self.chain,
            self.progress,
            timeline=self.events,
            damage=self.damage,
            fan=self.fans.get(self.chain.jobs[-1][0]) if self.chain.jobs else None,
        )
        return replace(run, fans=tuple(self._fans()))

    def _fans(self) -> Iterator[Fan]:
        """The children of its jobs, in the order of these."""
        for job_id, job in self.chain.jobs:
            if (fan := self.fans.get(job_id)) is not None:
                yield shown_fan(job_id, job.facts.stage, fan)

    @property
    def waits_for_children(self) -> bool:
        """Whether children of its last job are under way. When one of them is decided, nothing notifies of it."""
        return _open_fan(self.chain, self.fans) is not None

    def after(self, event_id: str) -> list[Event]:
        """The events after the one with this id."""
        seen = order(event_id)
        return [event for event in self.events if order(event.id) > seen]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Jobs whose records are read, and those whose fans are."""

    jobs: dict[str, None] = field(default_factory=dict)
    fans: dict[str, None] = field(default_factory=dict)


async def take_snapshot(
    client: StoreClient, routes: Routes, run_id: str, head: Any, after: str = "0"
) -> Snapshot:
    """The run with the events after `after`; `head` is the reply for the head of its record.

    One transaction reads the run and the jobs that it is guessed to have; where it has others, one more for each stage.
    """
    asked = _Asked()
    try:
        known = read_run_head(head)
    except RecordBroken:  # or its facts go on beyond the head
        known = None
    if known is not None:
        asked.jobs.update(dict.fromkeys(routes.first(run_id, known.facts)))
    while True:
        snapshot = await _read(client, run_id, after, asked)
        chain, run = snapshot.chain, snapshot.run
        if run is None:
            return snapshot
        routes.learn(run.facts.pipeline, chain)
        unread = [job_id for job_id, job in chain.jobs if job.facts.opens and job_id not in asked.fans]
        if not chain.lacking and not unread:
            return snapshot
        asked.fans.update(dict.fromkeys(unread))
        asked.jobs.update(dict.fromkeys(routes.more(run_id, run.facts, chain)))


async def _read(client: StoreClient, run_id: str, after: str, asked: _Asked) -> Snapshot:
    replies = await client.together(_commands(run_id, after, asked))
    record, entries, newest, progress, *of_jobs = replies
    run, damage = _run(record)
    if is_damage(entries):
        damage.append(f"its timeline: {entries}")
        entries, newest = [], []
    if is_damage(progress):
        damage.append(f"its progress: {progress}")
        progress = None
    records = dict(zip(asked.jobs, of_jobs, strict=False))
    chain = follow(run_id, run.facts.stage, job_of(newest), records) if run is not None else Chain()
    counts = dict(zip(asked.fans, map(read_fan, of_jobs[len(records) :]), strict=True))
    fans = {job_id: fan for job_id, fan in counts.items() if fan is not None}
    progress = _progress_of(chain, fans) or progress
    return Snapshot(run_id, run, entries, newest, chain, progress, tuple(damage), fans)


def _commands(run_id: str, after: str, asked: _Asked) -> list[Command]:
    events = packed_events_key(run_id)
    return [
        ("GET", packed_run_key(run_id)),
        ("XRANGE", events, f"({after}" if after != "0" else "-", "+"),
        ("XREVRANGE", events, "+", "-", "COUNT", NEWEST),
        ("HGET", packed_progress_key(run_id), "progress"),
        *(("GET", packed_job_key(run_id, job_id)) for job_id in asked.jobs),
        *(ask_fan(run_id, job_id) for job_id in asked.fans),
    ]


def _progress_of(chain: Chain, fans: Mapping[str, FanState]) -> bytes | None:
    """How far the children are that the last job waits for; None where it waits for none."""
    if (fan := _open_fan(chain, fans)) is None:
        return None
    stage = chain.jobs[-1][1].facts.stage
    return msgspec.json.encode(Progress(stage=stage, done=fan.done, total=fan.total, lost=fan.lost))


def _open_fan(chain: Chain, fans: Mapping[str, FanState]) -> FanState | None:
    """The fan of the last job, until it fires."""
    fan = fans.get(chain.jobs[-1][0]) if chain.jobs else None
    return None if fan is None or fan.state == "fired" else fan


def _run(record: Any) -> tuple[RunRecord | None, list[str]]:
    try:
        return read_run_head(record), []
    except RecordBroken as error:
        return None, [f"the run: {error}"]
