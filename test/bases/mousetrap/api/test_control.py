"""Queues are paused and resumed, workers drained and stopped, over HTTP."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mousetrap.api_keys import new_key
from support.ports import closed_port
from support.processes import Process
from support.stack import SIGNING_KEYS
from support.waiting import until

Serve = Callable[..., httpx.Client]
Start = Callable[..., Process]
QUEUE = "/queues/waiting_do"
WHY = {"Mousetrap-Reason": "the feed lies"}


@pytest.fixture
def api(serve: Serve, each_broker_url: str) -> httpx.Client:
    return serve(broker_url=each_broker_url, signing_keys=SIGNING_KEYS)


def submit(api: httpx.Client, how: str = "done", mark: Path | None = None) -> str:
    answer = api.post("/pipelines/single/runs", json={"how": how, "mark": str(mark or "")})
    assert answer.status_code == 202, answer.text
    run_id: str = answer.json()["run_id"]
    return run_id


def until_state(api: httpx.Client, run_id: str, state: str) -> None:
    until(lambda: api.get(f"/runs/{run_id}").json()["state"] == state, f"the run is {state}")


def until_known(api: httpx.Client) -> None:
    """Returns once the API has the worker's pipelines, which it looks for every five seconds."""
    until(lambda: api.get(QUEUE).status_code == 200, "the queue is known")


def the_worker(api: httpx.Client) -> dict[str, Any]:
    (worker,) = [it for it in api.get("/workers").json() if it["state"] != "stale"]
    found: dict[str, Any] = worker
    return found


@pytest.mark.servers
def test_a_paused_queue_shows_who_when_and_why_and_its_jobs_wait_until_it_is_resumed(
    api: httpx.Client, start_waiting: Start
) -> None:
    start_waiting()
    until_known(api)

    paused = api.post(f"{QUEUE}/pause", headers=WHY).raise_for_status().json()

    until(lambda: "waiting_do" in the_worker(api)["paused"], "the worker takes nothing")
    assert (paused["paused"]["who"], paused["paused"]["why"], paused["changed"]) == (
        "loopback",
        "the feed lies",
        True,
    )
    again = api.post(f"{QUEUE}/pause", headers={"Mousetrap-Reason": "another"}).json()
    assert (again["paused"], again["changed"]) == (paused["paused"], False)

    run_id = submit(api)
    until(lambda: api.get(QUEUE).json()["ready"] == 1, "its job is in the queue")
    waits = api.get(f"/runs/{run_id}/waiting").json()["headline"]
    assert waits["kind"] == "paused"
    assert waits["text"].startswith("loopback paused waiting_do")
    assert waits["text"].endswith("ago: the feed lies.")
    assert waits["advice"] == "mousetrap queues resume waiting_do"
    assert api.get(QUEUE).json()["paused"] == paused["paused"]
    assert api.get("/cluster").json()["paused"] == {"waiting_do": paused["paused"]}
    (other,) = [it for it in api.get("/queues").json() if it["name"] == "waiting_find"]
    assert other["paused"] is None

    resumed = api.post(f"{QUEUE}/resume").raise_for_status().json()
    assert (resumed["paused"], resumed["changed"]) == (None, True)
    until_state(api, run_id, "completed")
    assert api.post(f"{QUEUE}/resume").json()["changed"] is False


@pytest.mark.servers
def test_a_worker_that_starts_while_a_queue_is_paused_takes_nothing_from_it(
    api: httpx.Client, start_waiting: Start
) -> None:
    first = start_waiting()
    until_known(api)
    api.post(f"{QUEUE}/pause").raise_for_status()
    first.terminate()
    run_id = submit(api)

    second = start_waiting()
    second.wait_for_line("; paused: waiting_do")
    until(lambda: api.get(QUEUE).json()["ready"] == 1, "its job is in the queue")

    api.post(f"{QUEUE}/resume").raise_for_status()
    until_state(api, run_id, "completed")


@pytest.mark.servers
def test_a_drained_worker_finishes_what_runs_takes_nothing_new_and_serves_again_when_resumed(
    api: httpx.Client, start_waiting: Start, tmp_path: Path
) -> None:
    start_waiting()
    running = submit(api, "hold", tmp_path / "mark")
    until_state(api, running, "running")
    name = the_worker(api)["name"]

    asked = api.post(f"/workers/{name}/drain", headers=WHY).raise_for_status().json()

    assert (asked["worker"], asked["asked"]["act"], asked["asked"]["why"]) == (name, "drain", "the feed lies")
    until(lambda: the_worker(api)["state"] == "draining", "it drains")
    later = submit(api)
    (tmp_path / "mark").touch()
    until_state(api, running, "completed")
    until(lambda: api.get(QUEUE).json()["ready"] == 1, "the later job waits")
    assert (the_worker(api)["asked"], the_worker(api)["state"]) == (asked["asked"], "draining")

    assert api.post(f"/workers/{name}/resume").raise_for_status().json() == {"worker": name, "asked": None}
    until_state(api, later, "completed")
    until(lambda: the_worker(api)["state"] == "serving", "it serves")


@pytest.mark.servers
def test_a_worker_that_is_asked_to_stop_finishes_what_runs_and_ends_as_at_a_signal(
    api: httpx.Client, start_waiting: Start, tmp_path: Path
) -> None:
    worker = start_waiting()
    running = submit(api, "hold", tmp_path / "mark")
    until_state(api, running, "running")
    name = the_worker(api)["name"]

    api.post(f"/workers/{name}/stop").raise_for_status()
    worker.wait_for_line("asked to stop by loopback")
    (tmp_path / "mark").touch()

    assert worker.wait() == 0
    until_state(api, running, "completed")
    until(lambda: api.get("/workers").json() == [], "it has left the list")
    answer = api.post(f"/workers/{name}/stop")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:mousetrap:problem:unknown-worker")


@pytest.mark.servers
def test_requests_to_a_killed_worker_and_to_another_do_not_disturb_it(
    api: httpx.Client, start_waiting: Start
) -> None:
    killed = start_waiting()
    name = until(lambda: the_worker(api)["name"], "it is listed")
    killed.send(signal.SIGKILL)
    killed.wait()
    api.post(f"/workers/{name}/drain").raise_for_status()

    start_waiting()

    until_state(api, submit(api), "completed")


def test_these_acts_need_the_scope_operate_and_are_on_the_trail(serve: Serve) -> None:
    reader, may_read = new_key("keda", ["read"], bytes(32))
    operator, may_operate = new_key("anna", ["read", "operate"], bytes(range(32)))
    api = serve(api_keys=f"{may_read}\n{may_operate}")
    as_operator = {"X-API-Key": operator, **WHY}
    for act in ("pause", "resume"):
        path = f"/queues/start_fetch/{act}"
        assert api.post(path, headers={"X-API-Key": reader}).status_code == 403
        assert api.post(path, headers=as_operator).status_code == 200
    for act in ("drain", "stop", "resume"):
        assert api.post(f"/workers/w1/{act}", headers={"X-API-Key": reader}).status_code == 403
        assert api.post(f"/workers/w1/{act}", headers=as_operator).status_code == 404

    def trail() -> list[tuple[str, str, str, int, str]]:
        entries = api.get("/audit", headers=as_operator).json()["entries"]
        return [(it["act"], it["who"], it["outcome"], it["count"], it["reason"]) for it in entries]

    until(
        lambda: (
            trail()
            == [
                ("resume", "anna", "done", 1, "the feed lies"),
                ("pause", "anna", "done", 1, "the feed lies"),
            ]
        ),
        "both are on the trail",
    )


def test_only_a_known_queue_is_paused_and_only_where_the_store_is_there(serve: Serve) -> None:
    api = serve()
    for name in ("other", "start_fetch.dead"):
        answer = api.post(f"/queues/{name}/pause")
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:mousetrap:problem:unknown-queue")

    away = serve(store_url=f"valkey://127.0.0.1:{closed_port()}/0").post("/queues/start_fetch/pause")
    assert (away.status_code, away.json()["away"]) == (503, ["store"])
