"""A worker's pipelines and its state are in the registry at once."""

import asyncio
from typing import cast

import pytest

from mousetrap.jobs import Backlog, Queue, StoreUnreachable
from mousetrap.serve_worker.heartbeat import Heartbeat
from mousetrap.serve_worker.vitals import Vitals
from mousetrap.shapes import Beat
from mousetrap.worker import WorkerStats
from mousetrap.worker_registry import WorkerRegistry
from support.heartbeats import a_heartbeat


class Registry:
    """A registry whose store does not answer the first beats."""

    def __init__(self, silent: int) -> None:
        self._silent = silent
        self.asked = 0
        self.beats: list[Beat] = []
        self.came: asyncio.Queue[Beat] = asyncio.Queue()

    async def beat(self, beat: Beat) -> None:
        self.asked += 1
        if self.asked <= self._silent:
            raise StoreUnreachable("no answer")
        self.beats.append(beat)
        self.came.put_nowait(beat)

    async def look(self, queue: str, backlog: Backlog) -> None:
        """Nothing waits."""


class Answers:
    """A queue that answers."""

    async def check(self) -> None:
        """It is there."""

    async def backlog(self, queue: str) -> Backlog:
        return Backlog(0, None)


@pytest.mark.parametrize(("silent", "asked", "sent"), [(0, 1, 1), (2, 3, 1), (9, 3, 0)])
async def test_the_first_beat_is_sent_again_while_the_store_does_not_answer(
    silent: int, asked: int, sent: int
) -> None:
    registry = Registry(silent)
    vitals = Vitals(stats=WorkerStats(), auto_kill_s=60)
    nothing = cast(Queue, None)

    await Heartbeat(a_heartbeat(), vitals, nothing, cast(WorkerRegistry, registry), 60).begin()

    assert (registry.asked, len(registry.beats)) == (asked, sent)


async def test_what_changes_in_a_worker_s_state_is_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.serve_worker.heartbeat.BEAT_S", 3600.0)
    registry, stats = Registry(silent=0), WorkerStats()
    vitals = Vitals(stats=stats, auto_kill_s=60)
    given = cast(Queue, Answers()), cast(WorkerRegistry, registry)
    sending = asyncio.create_task(Heartbeat(a_heartbeat(), vitals, *given, 3600.0).beat_forever())

    async with asyncio.timeout(60):
        seen = [(await registry.came.get()).state]
        for state in ("serving", "draining", "serving"):
            stats.change(state, ())
            seen.append((await registry.came.get()).state)
        stats.change("serving", ("start_fetch",))
        paused = (await registry.came.get()).paused
    sending.cancel()

    assert seen == ["starting", "serving", "draining", "serving"]
    assert paused == ("start_fetch",)
