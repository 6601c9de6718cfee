"""Real Prometheus reads an API and two workers during a run."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from mousetrap.api_keys import new_key
from mousetrap.earthquakes import EARTHQUAKES
from support.expressions import board_expressions, rules, vectors
from support.feed import Feed
from support.processes import Process
from support.prometheus import Prometheus, scraping
from support.stack import Stack
from support.waiting import until

RUNS = f"/pipelines/{EARTHQUAKES.name}/runs"
READ, READ_ENTRY = new_key("prometheus", ["read"], bytes(32))
ALL, ALL_ENTRY = new_key("operator", ["read", "run", "operate"], bytes(range(32)))
COUNTED = {"MOUSETRAP_METRICS": "true", "MOUSETRAP_HEALTH_PORT": "0", "MOUSETRAP_HEALTH_LINE_SECONDS": "1"}


class Counted(Stack):
    """A deployment with keys that counts."""

    def start(self, base: str, **more: str) -> Process:
        return super().start(base, **COUNTED, MOUSETRAP_API_KEYS=f"{READ_ENTRY},{ALL_ENTRY}", **more)


@pytest.fixture
def counted(
    start_base: Callable[..., Process], tmp_path: Path, feed: Feed, queue_url: str, store_url: str
) -> Iterator[Counted]:
    """An API and two workers, on either queue."""
    stack = Counted(start_base, tmp_path, feed, broker_url=queue_url, store_url=store_url)
    with closing(stack):
        stack.api.headers["Authorization"] = f"Bearer {ALL}"
        yield stack


def place_of(worker: Process) -> str:
    """The address of its health port, without the scheme."""
    line = worker.wait_for_line("health endpoint: ")
    return line.partition("endpoint: http://")[2].partition("/health")[0]


def firing(prometheus: Prometheus) -> set[str]:
    """The alerts that fire."""
    return {alert["metric"]["alertname"] for alert in prometheus.query('ALERTS{alertstate="firing"}')}


@pytest.mark.long
def test_every_expression_of_rules_and_board_has_series_during_a_run(
    counted: Counted, tmp_path: Path
) -> None:
    workers = counted.start_workers()
    counted.until_ready()
    key = tmp_path / "metrics_key"
    key.write_text(READ)
    targets = {
        "mousetrap-api": [counted.api.base_url.netloc.decode()],
        "mousetrap-worker": [place_of(worker) for worker in workers],
    }
    with closing(Prometheus(tmp_path / "prometheus", scraping(targets, key))) as prometheus:
        until(lambda: len(prometheus.query("mousetrap_build_info")) == 3, "all three are scraped")
        assert prometheus.unhealthy() == {}

        for _ in range(3):
            counted.completed(counted.submit())

        until(
            lambda: prometheus.query('sum(mousetrap_runs_total{outcome="completed"}) == 3'),
            "the runs are counted",
        )
        for expression in [*board_expressions(), *(rule["expr"] for rule in rules())]:
            for vector in vectors(expression):
                if "mousetrap_limited_jobs" in vector:
                    continue  # no stage of the example has a limit: test_waiting meets the number
                until(partial(prometheus.query, vector), f"{vector} has series")
        assert firing(prometheus) == set()

        counted.api.post(RUNS, json={"url": "http://10.0.0.1/not-allowed"}).raise_for_status()
        until(lambda: "MousetrapDeadLetters" in firing(prometheus), "the alert of the dead letter fires")
        (letters,) = prometheus.query("sum by (queue, reason) (mousetrap_dead_letters_total) > 0")
        assert letters["metric"] == {"queue": "start_fetch", "reason": "not-retryable"}
        assert prometheus.query('sum(mousetrap_runs_total{outcome="failed"}) == 1')
