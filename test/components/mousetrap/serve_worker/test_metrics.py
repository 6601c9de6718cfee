"""Workers as processes that are asked for metrics, or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mousetrap.metrics import WORKER
from support import blocking_worker
from support.blocking_worker import IN_LOOP, IN_THREAD
from support.clients import NO_ONE
from support.processes import Process
from support.waiting import until

Start = Callable[..., Process]
pytestmark = pytest.mark.servers

TESTS = Path(blocking_worker.__file__).parents[1]
ASKED = {"MOUSETRAP_METRICS": "true", "MOUSETRAP_HEALTH_PORT": "0"}


def get(worker: Process) -> httpx.Response:
    """The answer at `/metrics`."""
    address = worker.wait_for_line("health endpoint: ").partition("endpoint: ")[2].partition("/health")[0]
    return httpx.get(f"{address}/metrics", trust_env=False, verify=NO_ONE, timeout=60)


def series(worker: Process) -> dict[tuple[str, ...], float]:
    """Each series by its name and the values of its labels."""
    answer = get(worker)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (each.name, *each.labels.values()): each.value
        for family in text_string_to_metric_families(answer.text)
        for each in family.samples
    }


def test_a_worker_counts_the_jobs_that_it_does(start_worker: Start, runs: Any) -> None:
    worker = start_worker(**ASKED)
    worker.wait_for_line("serving test_in_loop")
    waiting = runs.submit(IN_LOOP, "wait")
    until(lambda: series(worker)["mousetrap_attempts_running", "in_loop", "do"] == 1, "its handler runs")

    runs.mark("wait").touch()
    runs.ended(waiting)

    until(lambda: series(worker)["mousetrap_runs_total", "completed", "in_loop"] == 1, "the run is counted")
    found = series(worker)
    assert {name for name, *_ in found} >= {each for name in WORKER for each in name.series}
    assert found["mousetrap_attempts_total", "finished", "in_loop", "do"] == 1
    assert found["mousetrap_attempt_seconds_count", "in_loop", "do"] == 1
    assert found["mousetrap_attempts_running", "in_loop", "do"] == 0
    assert found["mousetrap_attempts_total", "finished", "in_thread", "do"] == 0
    assert found["mousetrap_slots",] == 10
    until(lambda: series(worker)["mousetrap_connected", "broker"] == 1, "its broker has answered")
    until(lambda: series(worker)["mousetrap_heartbeat_seconds",] > 0, "the store took a heartbeat")


def test_an_attempt_that_is_made_again_is_counted_as_two(start_worker: Start, runs: Any) -> None:
    worker = start_worker(**ASKED)
    runs.ended(runs.submit(IN_THREAD, "hang"))

    until(lambda: series(worker)["mousetrap_runs_total", "completed", "in_thread"] == 1, "the run is counted")
    found = series(worker)
    assert found["mousetrap_attempts_total", "retrying", "in_thread", "do"] == 1
    assert found["mousetrap_attempts_total", "finished", "in_thread", "do"] == 1
    assert found["mousetrap_attempt_seconds_count", "in_thread", "do"] == 2
    assert found["mousetrap_queue_wait_seconds_count", "in_thread", "do"] == 2
    assert found["mousetrap_published_total", "test_in_thread"] == 1
    assert found["mousetrap_hung_handlers",] == 1


def test_a_worker_that_is_not_asked_has_no_metrics(start_worker: Start) -> None:
    worker = start_worker(MOUSETRAP_HEALTH_PORT="0")

    answer = get(worker)
    assert (answer.status_code, answer.json()["paths"]) == (404, ["/health/live", "/health/ready"])


def test_metrics_that_nothing_serves_are_warned_about(start_worker: Start) -> None:
    worker = start_worker(MOUSETRAP_METRICS="true")

    worker.wait_for_line("MOUSETRAP_METRICS is on, but nothing serves what this worker would count")
    worker.wait_for_line("serving test_in_loop")


def test_a_missing_library_is_a_wrong_setting(start_worker: Start, tmp_path: Path) -> None:
    (tmp_path / "prometheus_client.py").write_text("raise ModuleNotFoundError('prometheus_client')\n")
    worker = start_worker(**ASKED, PYTHONPATH=f"{tmp_path}:{TESTS}")

    assert worker.wait() == 2
    (line,) = worker.lines
    assert line.startswith("MOUSETRAP_METRICS: the package prometheus-client is not installed here")
