"""A worker's pipelines are in the registry before it serves."""

from typing import cast

import pytest

from mousetrap.jobs import Queue, StoreUnreachable
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

    async def beat(self, beat: Beat) -> None:
        self.asked += 1
        if self.asked <= self._silent:
            raise StoreUnreachable("no answer")
        self.beats.append(beat)


@pytest.mark.parametrize(("silent", "asked", "sent"), [(0, 1, 1), (2, 3, 1), (9, 3, 0)])
async def test_the_first_beat_is_sent_again_while_the_store_does_not_answer(
    silent: int, asked: int, sent: int
) -> None:
    registry = Registry(silent)
    vitals = Vitals(stats=WorkerStats(), auto_kill_s=60)
    nothing = cast(Queue, None)

    await Heartbeat(a_heartbeat(), vitals, nothing, cast(WorkerRegistry, registry), 60).begin()

    assert (registry.asked, len(registry.beats)) == (asked, sent)
