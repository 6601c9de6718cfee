"""The registry's list of workers that serve, leave or are killed."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.shapes import Worker
from support.blocking_worker import IN_LOOP
from support.processes import Process
from support.valkey import console
from support.waiting import until

Start = Callable[..., Process]
pytestmark = pytest.mark.servers


def test_a_worker_is_listed_with_what_it_serves_and_runs_and_leaves_when_it_is_stopped(
    start_worker: Start, runs: Any
) -> None:
    worker = start_worker(MOUSETRAP_HEALTH_LINE_SECONDS="0.1", MOUSETRAP_CONCURRENCY="3")
    run_id = runs.submit(IN_LOOP, "wait")

    def listed() -> Worker | None:
        return next((it for it in runs.workers() if it.running and it.state == "serving"), None)

    seen = until(listed, "it is listed as serving, with its job")
    assert (seen.pid, seen.concurrency) == (worker.pid, 3)
    assert seen.stages == ("in_loop.do", "in_thread.do")
    assert seen.queues == ("test_in_loop", "test_in_thread")
    assert [(each.run_id, each.stage, each.attempt) for each in seen.doing] == [(run_id, "do", 1)]

    worker.send(signal.SIGTERM)
    until(lambda: [w.state for w in runs.workers()] == ["draining"], "it drains")
    runs.mark("wait").touch()
    assert worker.wait() == 0
    assert runs.workers() == ()


def test_a_killed_worker_is_listed_as_stale_with_its_job(
    start_worker: Start, runs: Any, store_url: str
) -> None:
    worker = start_worker(MOUSETRAP_HEALTH_LINE_SECONDS="0.1")
    run_id = runs.submit(IN_LOOP, "wait")
    until(lambda: [w.running for w in runs.workers()] == [1], "it is listed with its job")

    worker.send(signal.SIGKILL)
    worker.wait()
    (listed,) = runs.workers()
    with console(store_url) as client:  # as the time does of three beats that it misses
        client.hincrby(f"mousetrap:worker:{listed.name}", "seen_ms", -16_000)

    (seen,) = until(lambda: [w for w in runs.workers() if w.state == "stale"], "it is stale")
    assert (seen.pid, [each.run_id for each in seen.doing]) == (worker.pid, [run_id])


def test_a_store_that_is_away_for_a_while_costs_beats_and_nothing_else(
    start_worker: Start, runs: Any, own_valkey: EmbeddedValkey, store_url: str
) -> None:
    worker = start_worker(MOUSETRAP_HEALTH_LINE_SECONDS="0.1", MOUSETRAP_STORE_URL=own_valkey.url)
    worker.wait_for_line("store ok")
    own_valkey.stop()
    worker.wait_for_line("store away")
    own_valkey.start()

    worker.wait_for_line("store ok", after=len(worker.lines))
    assert worker.terminate() == 0
    assert "Traceback" not in worker.output
