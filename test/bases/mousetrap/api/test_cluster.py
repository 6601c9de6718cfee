"""Queues, the cluster and the minutes, beside a real worker."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import waiting_worker
from support.ports import closed_port
from support.processes import Process
from support.stack import SIGNING_KEYS
from support.waiting import until

pytestmark = pytest.mark.servers
Serve = Callable[..., httpx.Client]
TESTS = Path(waiting_worker.__file__).parents[1]
RUNS = "/pipelines/single/runs"


@pytest.fixture
def api(serve: Serve, each_broker_url: str) -> httpx.Client:
    return serve(broker_url=each_broker_url, signing_keys=SIGNING_KEYS)


def queue(api: httpx.Client, name: str) -> dict[str, Any]:
    shown: dict[str, Any] = api.get(f"/queues/{name}").raise_for_status().json()
    return shown


def submit(api: httpx.Client, how: str = "done", mark: object = "", **options: str) -> str:
    body = {"how": how, "mark": str(mark)}
    answer = api.post(RUNS, json=body, params=options)
    assert answer.status_code == 202, answer.text
    run_id: str = answer.json()["run_id"]
    return run_id


def test_a_queue_shows_who_takes_from_it_what_waits_and_how_fast(
    api: httpx.Client, start_waiting: Callable[..., Process], tmp_path: Path
) -> None:
    start_waiting()
    submit(api, "fail")
    submit(api, delay="3600")
    for _ in range(3):
        submit(api, "hold", tmp_path / "mark")

    shown = until(
        lambda: (it := queue(api, "waiting_do"))["running"] and it["ready"] and it["delayed"] == 2 and it,
        "one runs, the others wait",
    )

    assert (shown["name"], shown["stages"], shown["missing"]) == ("waiting_do", ["single.do"], False)
    # One runs, and the worker has at most one more of them in its hands.
    assert (shown["running"], shown["delayed"], shown["dead"]) == (1, 2, 0)
    assert shown["ready"] in (1, 2)
    assert (shown["consumers"], shown["workers"], shown["slots"]) == (1, 1, 1)
    assert shown["oldest_seconds"] >= 0
    listed = {each["name"]: each for each in api.get("/queues").json()}
    assert listed["waiting_do"].keys() == shown.keys()
    assert listed["waiting_read"]["stages"] == ["fanned.read"]

    (tmp_path / "mark").touch()
    until(lambda: queue(api, "waiting_do")["out_per_minute"] > 0, "they have begun, and are counted")


def test_the_cluster_shows_capacity_and_which_stage_no_worker_serves(
    api: httpx.Client, start_waiting: Callable[..., Process]
) -> None:
    start_waiting()
    submit(api)
    minutes = until(
        lambda: sum(each["done"] for each in _stage(api, "single.do").get("minutes", ())), "it is counted"
    )

    cluster = api.get("/cluster").raise_for_status().json()

    assert minutes == 1
    assert (cluster["workers"], cluster["slots"], cluster["running"]) == ({"serving": 1}, 1, 0)
    assert (cluster["waiting"], cluster["delayed"], cluster["dead"]) == (0, 0, 0)
    assert "earthquakes.fetch" in cluster["unserved"]
    assert "single.do" not in cluster["unserved"]
    (day,) = api.get("/queues/waiting_do/minutes").raise_for_status().json()["stages"]
    assert day["stage"] == "single.do"
    assert [sum(each[name] for each in day["minutes"]) for name in ("begun", "done", "failed")] == [1, 1, 0]


def _stage(api: httpx.Client, name: str) -> dict[str, Any]:
    found = (
        each for each in api.get("/cluster").raise_for_status().json()["stages"] if each["stage"] == name
    )
    return next(found, {})


def test_all_who_ask_at_once_share_one_look(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    first = api.get("/queues").raise_for_status()
    assert json.loads(first.content)[0].keys() >= {"name", "ready", "in_per_minute"}
    looks: list[object] = []
    monkeypatch.setattr("mousetrap.api.queue_facts.QueueFacts.look_at", lambda *given: looks.append(given))
    monkeypatch.setattr("mousetrap.api.queue_facts.time.monotonic", lambda: 0.0)

    assert api.get("/queues").json() == first.json()

    assert looks == []


@pytest.mark.parametrize("path", ["/queues", "/queues/start_fetch", "/cluster"])
@pytest.mark.parametrize("absent", ["broker", "store"])
def test_without_broker_or_store_the_absent_one_is_named(serve: Serve, absent: str, path: str) -> None:
    api = serve(**{f"{absent}_url": f"valkey://127.0.0.1:{closed_port()}/0"})

    answer = api.get(path)

    assert (answer.status_code, answer.json()["away"]) == (503, [absent])
    assert "127.0.0.1" in answer.json()["detail"]


def test_minutes_of_an_unknown_queue_or_of_more_than_a_day_are_refused(serve: Serve) -> None:
    api = serve()

    assert api.get("/queues/other/minutes").status_code == 404
    assert api.get("/queues/start_fetch/minutes", params={"hours": 25}).status_code == 422
    assert api.get("/queues/start_fetch/minutes", params={"hour": 2}).status_code == 422
    assert api.get("/queues/start_fetch/minutes").json() == {
        "name": "start_fetch",
        "stages": [{"stage": "earthquakes.fetch", "minutes": []}],
        "ready": [],
    }
