"""A worker's counts are in the store after its beat."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from redis import Redis

from support.blocking_worker import IN_LOOP
from support.processes import Process
from support.valkey import administrator
from support.waiting import until

Start = Callable[..., Process]
pytestmark = pytest.mark.servers


def counts(url: str) -> Mapping[str, int]:
    """What the store has of the stage `in_loop.do`, over all minutes."""
    found: dict[str, int] = {}
    with Redis.from_url(administrator(url), decode_responses=True) as client:
        for key in client.scan_iter("mousetrap:minute:in_loop.do:*"):
            for field, value in client.hgetall(key).items():
                name = str(field).partition(".")[2]
                found[name] = found.get(name, 0) + int(value)
    return found


def test_a_worker_reports_what_its_stages_did_with_each_beat_and_at_its_end(
    start_worker: Start, runs: Any, store_url: str
) -> None:
    worker = start_worker(MOUSETRAP_HEALTH_LINE_SECONDS="0.1")
    run_id = runs.submit(IN_LOOP, "wait")
    until(lambda: counts(store_url).get("begun") == 1, "it has begun one")
    assert "done" not in counts(store_url)
    until(lambda: [w.running_by_stage for w in runs.workers()] == [{"in_loop.do": 1}], "its beat has it")

    runs.mark("wait").touch()
    runs.ended(run_id)
    assert worker.terminate() == 0  # it leaves at once: what it counted since its last beat goes first

    found = counts(store_url)
    assert (found["begun"], found["done"]) == (1, 1)
    assert found["run_ms"] > 0
