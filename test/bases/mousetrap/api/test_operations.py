"""Repairs of many go on in the server, over HTTP."""

import os
import signal
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mousetrap.api_keys import new_key
from support.letters import KEYS, bury, check, letter_of, taken
from support.operations import ended
from support.ports import closed_port
from support.processes import Process
from support.valkey import console
from support.waiting import until
from support.workbench import on_streams

RUNS = "/pipelines/earthquakes/runs"
Serve = Callable[..., httpx.Client]
StartApi = Callable[..., tuple[Process, httpx.Client]]


@pytest.fixture
def api(serve: Serve) -> httpx.Client:
    return serve(signing_keys=KEYS)


def counts(operation: dict[str, Any]) -> tuple[int, ...]:
    return tuple(operation[name] for name in ("matched", "done", "stale", "failed", "left"))


def test_an_operation_is_answered_at_once_and_shown_until_it_has_ended(
    api: httpx.Client, store_url: str
) -> None:
    bury(store_url, *(letter_of(f"r{number}") for number in range(3)))

    answer = api.post(
        "/dead/redrive",
        json={"reason": "max-retries", "rate": 500},
        headers={"Mousetrap-Reason": "ticket 81"},
    )
    operation = ended(api, answer)

    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/operations/{operation['id']}"
    assert (answer.json()["matched"], answer.json()["state"]) == (3, "running")
    assert (operation["kind"], operation["who"], operation["reason"]) == ("redrive", "loopback", "ticket 81")
    assert (operation["filter"], operation["rate"], operation["limit"]) == (
        {"reason": "max-retries"},
        500,
        None,
    )
    assert counts(operation) == (3, 3, 0, 0, 0)
    assert operation["created_ms"] <= operation["updated_ms"] == operation["ended_ms"]
    assert api.get("/operations").json() == {"operations": [operation], "next": None}
    assert api.get("/operations", params={"state": "running"}).json()["operations"] == []


def test_runs_are_cancelled_by_filter(api: httpx.Client, worker: Any) -> None:
    waiting = [api.post(RUNS).json()["run_id"] for _ in range(4)]
    worker.complete(done := api.post(RUNS).json()["run_id"], {})

    cancelled = ended(api, api.post("/runs/cancel", json={"pipeline": "earthquakes"}))

    assert counts(cancelled) == (4, 4, 0, 0, 0)
    assert {api.get(f"/runs/{run_id}").json()["state"] for run_id in waiting} == {"cancelled"}
    assert api.get(f"/runs/{done}").json()["state"] == "completed"


def test_an_operation_names_the_runs_that_it_acted_on_as_they_are_now(
    api: httpx.Client, store_url: str
) -> None:
    second = api.post(RUNS).json()["run_id"]
    bury(store_url, letter_of("again"))
    redriven = ended(api, api.post("/dead/redrive", json={"all": True}))
    cancelled = ended(api, api.post("/runs/cancel", json={"id": second}))
    repeated = ended(api, api.post("/runs/rerun", json={"id": second}))

    def runs(operation: dict[str, Any]) -> list[dict[str, Any]]:
        return list(api.get(f"/operations/{operation['id']}/runs").json()["runs"])

    assert [(it["id"], it["state"]) for it in runs(redriven)] == [("again", "queued")]
    assert [(it["id"], it["state"]) for it in runs(cancelled)] == [(second, "cancelled")]
    assert [it["id"] for it in runs(repeated)] == [
        it["id"] for it in api.get(f"/runs/{second}/reruns").json()["runs"]
    ]
    check(api.get("/operations/unknown/runs"), 404, "unknown-operation")


def test_runs_are_repeated_by_filter_once_each(api: httpx.Client, worker: Any) -> None:
    failed = [api.post(RUNS).json()["run_id"] for _ in range(3)]
    for run_id in failed:
        worker.fail(run_id, "no")

    body, key = {"state": "failed", "from": "start"}, {"Idempotency-Key": "monday"}
    answers = [api.post("/runs/rerun", json=body, headers=key) for _ in range(2)]
    repeated = ended(api, answers[1])
    other = api.post("/runs/rerun", json={"all": True}, headers=key)

    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true"]
    assert counts(repeated) == (3, 3, 0, 0, 0)
    check(other, 409, "operation-conflict")
    runs = api.get("/runs").json()["runs"]
    assert len(runs) == 6
    again = [api.get(f"/runs/{run['id']}").json()["rerun_of"] for run in runs if run["id"] not in failed]
    assert sorted(again) == sorted(failed)


@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        ({"error": "Broken"}, 2),
        ({"error": "Whole"}, 0),
        ({"stage": "process", "state": "failed"}, 2),
        ({"worker": "w1"}, 3),
        ({"tag": "nightly"}, 1),
        ({"repaired": False}, 2),
        ({"repaired": True}, 0),
        ({"pipeline": "earthquakes", "from_ms": 1, "to_ms": 9_999_999_999_999}, 3),
        ({"to_ms": 1}, 0),
        ({"state": "failed", "tag": "nightly"}, 1),
    ],
)
def test_runs_are_repeated_by_any_condition(
    api: httpx.Client, worker: Any, conditions: dict[str, Any], count: int
) -> None:
    tagged = api.post(RUNS, params={"tags": "nightly"}).json()["run_id"]
    failed, completed = (api.post(RUNS).json()["run_id"] for _ in range(2))
    worker.fail(tagged, "no")
    worker.fail(failed, "no")
    worker.complete(completed, {})
    api.post(RUNS)  # which has not ended, and is not repeated

    repeated = ended(api, api.post("/runs/rerun", json=conditions))

    assert counts(repeated) == (count, count, 0, 0, 0)
    assert repeated["filter"] == conditions


def test_a_run_that_cannot_be_repeated_is_named_with_the_reason(api: httpx.Client, worker: Any) -> None:
    worker.complete(run_id := api.post(RUNS).json()["run_id"], {})

    operation = ended(api, api.post("/runs/rerun", json={"state": "completed", "from": "failed"}))

    assert counts(operation) == (1, 0, 0, 1, 0)
    (failure,) = operation["failures"]
    assert failure["target"] == run_id and "has not failed" in failure["error"]


def test_an_operation_is_stopped_and_only_once(api: httpx.Client, store_url: str) -> None:
    bury(store_url, *(letter_of(f"r{number}") for number in range(20)))
    begun = api.post("/dead/redrive", json={"all": True, "rate": 1})
    path = begun.headers["Location"]

    stopped = [api.post(f"{path}/stop") for _ in range(2)]
    operation = api.get(path).json()

    assert [(it.status_code, it.json()["state"]) for it in stopped] == [(200, "stopped")] * 2
    assert operation["done"] < 20 and operation["ended_ms"]
    done = api.post("/dead/redrive", json={"reason": "unheard"}).headers["Location"]
    check(api.post(f"{done}/stop"), 409, "operation-ended")


@pytest.mark.parametrize("path", ["/runs/cancel", "/runs/rerun"])
@pytest.mark.parametrize("body", [None, {}, {"rate": 5}, {"all": False}])
def test_selecting_all_runs_takes_an_option(api: httpx.Client, path: str, body: Any) -> None:
    run_id = api.post(RUNS).json()["run_id"]

    answer = api.post(path, json=body) if body is not None else api.post(path)

    assert '{"all": true}' in check(answer, 422, "nothing-selected")
    assert api.get(f"/runs/{run_id}").json()["state"] == "queued"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"{", "body"),
        (b'{"pipeline": "No Name"}', "body.pipeline"),
        (b'{"state": "sleeping"}', "body.state"),
        (b'{"state": 5}', "body.state"),
        (b'{"all": true, "rate": 0}', "body.rate"),
        (b'{"all": true, "rate": 1e9}', "body.rate"),
        (b'{"all": true, "limit": 0}', "body.limit"),
        (b'{"stat": "failed"}', "body.stat"),
        (b'{"id": "no id"}', "body.id"),
        (b'{"repaired": "no"}', "body.repaired"),
        (b'{"from_ms": 2, "to_ms": 1}', "body"),
    ],
)
@pytest.mark.parametrize("path", ["/runs/cancel", "/runs/rerun"])
def test_a_filter_of_runs_that_makes_no_sense_does_nothing(
    api: httpx.Client, path: str, body: bytes, where: str
) -> None:
    answer = api.post(path, content=body)

    check(answer, 422, "invalid-request")
    assert answer.json()["where"] == where
    assert api.get("/operations").json()["operations"] == []


def test_an_operation_that_is_not_there_is_a_problem(api: httpx.Client) -> None:
    check(api.get("/operations/none"), 404, "unknown-operation")
    check(api.post("/operations/none/stop"), 404, "unknown-operation")
    check(api.get("/operations/no%20id"), 422, "invalid-request")
    check(api.get("/operations", params={"after": "x"}), 422, "invalid-request")
    check(api.get("/operations", params={"stat": "done"}), 422, "unknown-parameter")


def test_seeing_and_acting_ask_for_a_scope_each(serve: Serve) -> None:
    read, read_entry = new_key("reader", ["read", "run"], bytes(32))
    operate, operate_entry = new_key("operator", ["operate"], bytes(range(32)))
    api = serve(api_keys=f"{read_entry}\n{operate_entry}", signing_keys=KEYS)
    seeing = [("GET", "/operations"), ("GET", "/operations/x")]
    acting = [("POST", path) for path in ("/runs/cancel", "/runs/rerun", "/operations/x/stop")]

    for allowed, key in ((seeing, read), (acting, operate)):
        for method, path in seeing + acting:
            answer = api.request(method, path, headers={"X-API-Key": key})
            assert (answer.status_code == 403) is ((method, path) not in allowed), (method, path)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/operations", None),
        ("GET", "/operations/x", None),
        ("POST", "/operations/x/stop", None),
        ("POST", "/runs/cancel", {"all": True}),
        ("POST", "/runs/rerun", {"state": "failed"}),
    ],
)
def test_without_the_store_each_path_reports_it(serve: Serve, method: str, path: str, body: Any) -> None:
    api = serve(store_url=f"valkey://user:hidden@127.0.0.1:{closed_port()}/0")

    answer = api.request(method, path, json=body)

    check(answer, 503, "store-away")
    assert "hidden" not in answer.text


def test_too_many_operations_are_refused_for_now(
    api: httpx.Client, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.operations.store.MOST_OPEN", 1)
    bury(store_url, letter_of("r0"), letter_of("r1"))
    begun = api.post("/dead/redrive", json={"all": True, "rate": 0.01})

    refused = api.post("/runs/cancel", json={"all": True})
    api.post(f"{begun.headers['Location']}/stop")

    check(refused, 503, "too-many-operations")
    assert refused.headers["Retry-After"]


def test_begin_end_and_stop_are_on_the_trail(api: httpx.Client, store_url: str) -> None:
    bury(store_url, letter_of("r0"), letter_of("r1"))
    begun = api.post("/dead/redrive", json={"all": True}, headers={"Mousetrap-Reason": "ticket 81"})
    operation = ended(api, begun)
    api.post(f"/operations/{operation['id']}/stop")

    def listed() -> list[dict[str, Any]] | None:
        entries: list[dict[str, Any]] = api.get("/audit").json()["entries"]
        return entries if len(entries) >= 3 else None

    shown = [
        (it["act"], it["outcome"], it["count"], it["reason"])
        for it in until(listed, "three acts are on the trail")
    ]
    assert sorted(shown) == [
        ("redrive", "accepted", 2, "ticket 81"),
        ("redrive", "done", 2, "ticket 81"),
        ("stop", "operation-ended", 0, ""),
    ]
    assert api.get("/audit", params={"act": "redrive"}).json()["entries"][-1]["what"] == {
        "filter": {"all": True},
        "operation": operation["id"],
    }


def end_leases(store_url: str) -> None:
    """Ends at once what a carrier that died holds, as ten seconds do."""
    with console(store_url) as client:
        client.delete("mousetrap:operations:redrive", *client.keys("mousetrap:{operation:*}:lease"))


def test_an_api_that_is_killed_in_the_middle_leaves_the_rest_to_another(
    start_api: StartApi, store_url: str, queue_url: str
) -> None:
    """Two processes; whichever carries the operation on is killed, and the other ends it. Nothing is done twice."""
    settings = {"MOUSETRAP_BROKER_URL": queue_url, "MOUSETRAP_SIGNING_KEYS": KEYS}
    one, api = start_api(**settings)
    _, other_api = start_api(**settings)
    bury(queue_url, *(letter_of(f"r{number:03}", at_ms=1000 + number) for number in range(60)))
    begun = api.post("/dead/redrive", json={"all": True, "rate": 20})
    path = begun.headers["Location"]
    until(lambda: api.get(path).json()["done"] >= 5, "some letters are redriven")

    os.kill(one.pid, signal.SIGKILL)
    one.wait()
    end_leases(store_url)
    operation = ended(other_api, begun)

    assert counts(operation) == (60, 60, 0, 0, 0)
    assert other_api.get("/dead").json()["matched"] == 0
    assert len(taken(queue_url, 60)) == 60


@on_streams  # what is taken over is in the store
def test_an_api_that_is_killed_while_it_repeats_runs_leaves_the_rest_to_another(
    start_api: StartApi, store_url: str, queue_url: str, worker: Any
) -> None:
    """Each run is repeated once, whichever API did it."""
    settings = {"MOUSETRAP_BROKER_URL": queue_url, "MOUSETRAP_SIGNING_KEYS": "off"}
    one, api = start_api(**settings)
    _, other_api = start_api(**settings)
    first = [api.post(RUNS).json()["run_id"] for _ in range(40)]
    for run_id in first:
        worker.complete(run_id, {})
    begun = api.post("/runs/rerun", json={"state": "completed", "rate": 20})
    until(lambda: api.get(begun.headers["Location"]).json()["done"] >= 5, "some runs are repeated")

    os.kill(one.pid, signal.SIGKILL)
    one.wait()
    end_leases(store_url)
    operation = ended(other_api, begun)

    assert counts(operation) == (40, 40, 0, 0, 0)
    runs = other_api.get("/runs", params={"limit": 200}).json()["runs"]
    again = [other_api.get(f"/runs/{run['id']}").json()["rerun_of"] for run in runs if run["id"] not in first]
    assert sorted(again) == sorted(first)


def test_many_ids_make_no_long_answer(api: httpx.Client) -> None:
    begun = api.post("/dead/redrive", json={"ids": [f"{number:0200}" for number in range(1000)]})

    ids = ended(api, begun)["filter"]["ids"]

    assert (len(ids), ids[-1]) == (21, "and 980 more")
