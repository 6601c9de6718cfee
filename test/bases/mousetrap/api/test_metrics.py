"""Tests who gets the API's numbers, and what is in them."""

import asyncio
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mousetrap.api_keys import new_key
from mousetrap.metrics import API
from mousetrap.settings import Settings, SettingsWrong
from mousetrap.shapes import Doing, WorkerState
from mousetrap.worker_registry import open_registry
from support.catalogue_app import catalogue_app
from support.heartbeats import a_heartbeat
from support.letters import bury, letter_of
from support.operations import ended
from support.ports import closed_port

Serve = Callable[..., httpx.Client]
READ, READ_ENTRY = new_key("reader", ["read"], bytes(32))
RUN, RUN_ENTRY = new_key("starter", ["run"], bytes(range(32)))
RUNS = "/pipelines/earthquakes/runs"


def series(api: httpx.Client, **headers: str) -> dict[tuple[str, ...], float]:
    """Each series by its name and the values of its labels."""
    answer = api.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (each.name, *each.labels.values()): each.value
        for family in text_string_to_metric_families(answer.text)
        for each in family.samples
    }


def beat(url: str, *states: WorkerState) -> None:
    """A worker in each of these states sends a beat."""

    async def beat() -> None:
        async with open_registry(url) as registry:
            for state in states:
                job = Doing(run_id="r1", stage="fetch", attempt=2, seconds=1.5)
                await registry.beat(a_heartbeat(name=state, state=state, doing=(job,)))

    asyncio.run(beat())


@pytest.mark.servers
def test_requests_are_counted_by_their_route_s_template(serve: Serve) -> None:
    api = serve(metrics=True)
    api.post(RUNS, json={})
    for run in ("a", "b", "c"):
        api.get(f"/runs/{run}")
    api.head("/pipelines")
    api.get("/no/such/path")

    found = series(api)

    template = "/pipelines/{pipeline}/runs"
    assert found["mousetrap_http_requests_total", "POST", template, "2xx"] == 1
    assert found["mousetrap_http_requests_total", "GET", "/runs/{run_id}", "4xx"] == 3
    assert found["mousetrap_http_requests_total", "GET", "/pipelines", "2xx"] == 1
    assert found["mousetrap_http_requests_total", "GET", "none", "4xx"] == 1
    assert found["mousetrap_http_seconds_count", "POST", template] == 1


@pytest.mark.servers
def test_hostile_paths_and_methods_make_no_series(serve: Serve) -> None:
    api = serve(metrics=True)
    api.get("/no")
    api.request("BREW", "/no")
    before = {key for key in series(api) if "http" in key[0]}
    series(api)  # its own
    for each in range(50):
        api.get(f"/no/{each}")
        api.request(f"BREW{each}", "/no")

    after = {key for key in series(api) if "http" in key[0]}
    assert {key for key in after - before if "/metrics" not in key} == set()


@pytest.mark.servers
def test_queues_and_workers_are_shown(serve: Serve, store_url: str) -> None:
    beat(store_url, "serving", "draining")
    api = serve(metrics=True)
    for _ in range(3):
        api.post(RUNS, json={})

    api.post("/schedules", json={"name": "hourly", "pipeline": "earthquakes", "every": 3600})

    found = series(api)

    assert found["mousetrap_queue_ready", "start_fetch"] == 3
    assert found["mousetrap_runs_open", "earthquakes"] == 3
    assert found["mousetrap_runs_open", "feeds"] == 0
    assert found["mousetrap_queue_oldest_seconds", "start_fetch"] >= 0
    assert found["mousetrap_queue_dead", "start_fetch"] == 0
    assert found["mousetrap_queue_workers", "start_fetch"] == 1
    assert (found["mousetrap_schedules",], found["mousetrap_schedules_late",]) == (1, 0)
    assert (found["mousetrap_workers", "serving"], found["mousetrap_workers", "stale"]) == (1, 0)
    assert found["mousetrap_connected", "broker"] == found["mousetrap_connected", "store"] == 1
    # No stage here has a limit: test_limits shows its number.
    assert {name for name, *_ in found} >= {
        each for name in API for each in name.series if name.name != "mousetrap_limited_jobs"
    }


@pytest.mark.servers
def test_runs_that_are_cancelled_and_letters_that_are_redriven_are_counted(
    serve: Serve, store_url: str
) -> None:
    bury(store_url, letter_of("r1"), letter_of("r2"))
    api = serve(metrics=True)
    (one, *_), runs = (
        api.get("/dead").json()["letters"],
        [api.post(RUNS, json={}).json()["run_id"] for _ in "ab"],
    )
    before = series(api)

    api.post(f"/dead/{one['queue']}/{one['id']}/redrive").raise_for_status()
    for run in (runs[0], runs[0]):
        api.delete(f"/runs/{run}").raise_for_status()
    begun = api.post("/runs/cancel", json={"pipeline": "earthquakes", "state": "queued"})
    ended(api, begun)

    found = series(api)
    counted = (
        ("mousetrap_runs_total", "cancelled", "earthquakes"),
        ("mousetrap_runs_total", "rejected", "earthquakes"),
        ("mousetrap_redriven_total", "start_fetch"),
    )
    assert [before[key] for key in counted] == [0, 0, 0]
    assert [found[key] for key in counted] == [3, 0, 1]


@pytest.mark.servers
def test_a_broker_that_is_away_leaves_the_rest(serve: Serve, store_url: str) -> None:
    beat(store_url, "serving")
    found = series(serve(metrics=True, broker_url=f"valkey://127.0.0.1:{closed_port()}/0"))

    assert (found["mousetrap_connected", "broker"], found["mousetrap_connected", "store"]) == (0, 1)
    assert found["mousetrap_workers", "serving"] == 1
    assert not [key for key in found if key[0].startswith("mousetrap_queue_")]


@pytest.mark.servers
def test_a_store_that_is_away_leaves_the_rest(serve: Serve, store_url: str) -> None:
    found = series(serve(metrics=True, store_url=f"valkey://127.0.0.1:{closed_port()}/0"))

    assert (found["mousetrap_connected", "broker"], found["mousetrap_connected", "store"]) == (1, 0)
    assert not [key for key in found if key[0] == "mousetrap_workers"]


@pytest.mark.servers
def test_broker_and_store_are_asked_once_in_some_seconds(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.api.metrics._LOOK_VALID_S", 300.0)
    api = serve(metrics=True)
    assert series(api)["mousetrap_queue_ready", "start_fetch"] == 0
    api.post(RUNS, json={})

    assert series(api)["mousetrap_queue_ready", "start_fetch"] == 0


@pytest.mark.servers
def test_the_scope_read_opens_the_metrics(
    serve: Serve,
) -> None:
    api = serve(metrics=True, api_keys=f"{READ_ENTRY}\n{RUN_ENTRY}")

    assert api.get("/metrics").status_code == 401
    assert api.get("/metrics", headers={"X-API-Key": RUN}).status_code == 403
    assert series(api, Authorization=f"Bearer {READ}")


@pytest.mark.servers
def test_an_api_that_is_not_asked_has_no_metrics(api: httpx.Client) -> None:
    assert api.get("/metrics").status_code == 404


_MADE = """
import sys
from mousetrap.api import create_app
from mousetrap.catalogue import PIPELINES
from mousetrap.settings import Settings
create_app(Settings(), PIPELINES)
print("prometheus_client" in sys.modules)
"""


@pytest.mark.slow
def test_an_api_that_is_not_asked_does_not_load_the_library() -> None:
    made = subprocess.run([sys.executable, "-c", _MADE], check=True, capture_output=True, text=True)

    assert made.stdout == "False\n"


def test_a_missing_library_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mousetrap.metrics", None)

    with pytest.raises(SettingsWrong, match="MOUSETRAP_METRICS: the package prometheus-client"):
        catalogue_app(Settings(metrics=True))


def test_metrics_that_are_off_are_refused_with_the_setting(serve: Serve) -> None:
    assert "MOUSETRAP_METRICS=true" in serve().get("/metrics").json()["detail"]
