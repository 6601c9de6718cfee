"""Every error is a problem document."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from mousetrap.api.errors import HANDLERS
from mousetrap.api_keys import new_key
from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.jobs import MousetrapError, PayloadUnusable
from mousetrap.run_store import RunStore
from support.ports import closed_port
from support.valkey import OwnValkey, administrator
from support.waiting import until

RUNS = "/pipelines/earthquakes/runs"
STORE_PATHS = [
    ("GET", "/runs"),
    ("GET", "/runs/a"),
    ("GET", "/runs/a/events"),
    ("GET", "/pipelines/earthquakes/latest"),
    ("GET", "/"),
]

Serve = Callable[..., httpx.Client]


def check(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The members of the problem that the answer must be."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"urn:mousetrap:problem:{kind}")
    assert problem["status"] == status
    assert problem["title"] and problem["detail"]
    return problem


@pytest.mark.parametrize(
    "path", ["/nothing", "/runs/", "/runs/a/b", "/pipelines/earthquakes/nothing", "/health"]
)
def test_a_path_that_is_not_there_is_a_problem(api: httpx.Client, path: str) -> None:
    assert path in check(api.get(path), 404, "no-such-path")["detail"]


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/runs"), ("GET", RUNS), ("POST", "/health/live")])
def test_a_method_that_a_path_does_not_take_is_a_problem(api: httpx.Client, method: str, path: str) -> None:
    answer = api.request(method, path)

    check(answer, 405, "method-not-allowed")
    assert answer.headers["allow"]


@pytest.fixture(autouse=True)
def _broker_s_time(patient_clients: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that does not answer is given up as soon as in a deployment; what else is asked has all its time."""
    monkeypatch.setattr("mousetrap.api.services._CONFIRM_TIMEOUT_S", 1.5)


def closed() -> str:
    """An address without a server."""
    port = closed_port()
    return f"valkey://user:hidden@127.0.0.1:{port}/0"


@pytest.mark.parametrize(("method", "path"), [("POST", RUNS), ("POST", "/refresh")])
def test_without_the_broker_no_run_is_accepted(serve: Serve, method: str, path: str) -> None:
    api = serve(broker_url=closed())

    answer = api.request(method, path)

    problem = check(answer, 503, "broker-away")
    assert problem["away"] == ["broker"]
    assert int(answer.headers["retry-after"]) > 0
    assert "hidden" not in answer.text
    (run,) = api.get("/runs").json()["runs"]
    assert (run["id"], run["state"]) == (problem["run_id"], "rejected")


def test_a_run_refused_without_the_broker_can_be_repeated_under_its_key(serve: Serve, store_url: str) -> None:
    name = {"Idempotency-Key": "k"}
    assert serve(broker_url=closed()).post(RUNS, headers=name).status_code == 503

    answer = serve().post(RUNS, headers=name)

    assert answer.status_code == 202
    run = serve().get(answer.headers["location"]).json()
    assert run["state"] == "queued"


@pytest.mark.parametrize(("method", "path"), [*STORE_PATHS, ("POST", RUNS), ("POST", "/refresh")])
def test_without_the_store_each_path_reports_it(serve: Serve, method: str, path: str) -> None:
    api = serve(store_url=closed())

    answer = api.request(method, path)

    problem = check(answer, 503, "store-away")
    assert problem["away"] == ["store"]
    assert int(answer.headers["retry-after"]) > 0
    assert "hidden" not in answer.text
    assert ("run_id" in problem) == (method == "POST"), "a run that may be there after all is named"


def test_an_api_outlives_the_absence_of_both(serve: Serve, own_valkey: EmbeddedValkey) -> None:
    api = serve(broker_url=own_valkey.url, store_url=own_valkey.url)
    first = api.post(RUNS).json()["run_id"]

    own_valkey.kill()
    away = api.post(RUNS)
    own_valkey.start()

    assert away.status_code == 503
    until(lambda: api.post(RUNS).status_code == 202, "runs are accepted again")
    assert api.get(f"/runs/{first}").status_code == 200


def test_a_run_that_a_hanging_broker_did_not_confirm_can_be_repeated(serve: Serve, tmp_path: Path) -> None:
    name = {"Idempotency-Key": "k"}

    def accepted() -> httpx.Response | None:
        answer = api.post(RUNS, headers=name)
        return answer if answer.status_code == 202 else None

    with OwnValkey(tmp_path) as broker:
        api = serve(broker_url=broker.url)
        until(lambda: api.post(RUNS).status_code == 202, "the broker takes runs")
        assert broker.pid
        os.kill(broker.pid, signal.SIGSTOP)

        hanging = api.post(RUNS, headers=name)
        os.kill(broker.pid, signal.SIGCONT)
        assert check(hanging, 503, "unconfirmed")["away"] == ["broker"]
        again = until(accepted, "it is accepted")

    assert api.get(again.headers["location"]).json()["state"] == "queued"


def test_a_caller_does_not_wait_for_a_slow_store_and_an_absent_broker_one_after_the_other(
    serve: Serve, store_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.api.start._TIMEOUT_S", 1.8)
    api = serve(broker_url=closed())
    with Redis.from_url(administrator(store_url)) as client:
        client.client_pause(1000)

        answer = api.post(RUNS, headers={"Idempotency-Key": "k"})  # so that the record comes first

    assert "too slow" in check(answer, 503, "unconfirmed")["detail"]
    until(lambda: "submitted too slowly" in caplog.text, "the submission ends after its caller has left")
    (run,) = api.get("/runs").json()["runs"]
    assert run["state"] == "rejected"


def test_a_run_without_a_key_that_a_hanging_broker_did_not_confirm_can_be_repeated_under_its_id(
    serve: Serve, tmp_path: Path
) -> None:
    def accepted(run_id: str) -> httpx.Response | None:
        answer = api.post(RUNS, params={"run_id": run_id})
        return answer if answer.status_code == 202 else None

    with OwnValkey(tmp_path) as broker:
        api = serve(broker_url=broker.url)
        until(lambda: api.post(RUNS).status_code == 202, "the broker takes runs")
        assert broker.pid
        os.kill(broker.pid, signal.SIGSTOP)

        hanging = api.post(RUNS)
        os.kill(broker.pid, signal.SIGCONT)
        run_id = check(hanging, 503, "unconfirmed")["run_id"]
        until(lambda: api.get(f"/runs/{run_id}").json()["state"] == "rejected", "it is rejected")
        again = until(lambda: accepted(run_id), "it is accepted")

    assert again.json()["run_id"] == run_id
    assert api.get(again.headers["location"]).json()["state"] == "queued"


def test_a_broker_that_takes_no_more_is_reported_as_full(serve: Serve, tmp_path: Path) -> None:
    with OwnValkey(tmp_path) as broker:
        api = serve(broker_url=broker.url)
        with Redis.from_url(administrator(broker.url)) as client:
            client.config_set("maxmemory", "1")

        answer = api.post(RUNS)

    problem = check(answer, 503, "queue-full")
    assert (problem["away"], problem.get("run_id")) == (["broker"], None)


def test_every_error_of_the_queue_and_the_store_has_a_problem() -> None:
    shared = {
        error for error in MousetrapError.__subclasses__() if error.__module__ == "mousetrap.jobs.errors"
    }

    # Reader, re-runs and dead letters show a payload that is gone as a text of their own.
    assert shared - {PayloadUnusable} <= set(HANDLERS) and PayloadUnusable in shared


def test_a_defect_is_in_the_log_and_not_in_the_response(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("the secret story")

    monkeypatch.setattr(RunStore, "get", broken)

    problem = check(api.get("/runs/a"), 500, "internal-error")

    assert "the secret story" not in problem["detail"]
    # The server answers before it writes what became of it.
    until(lambda: "the secret story" in caplog.text, "the log has the story")


@pytest.mark.parametrize("host", ["[", "a]b[", "[::1", "127.0.0.1:port", ""])
@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/runs", 405)])
def test_routing_refuses_whatever_host_is_named(
    serve: Serve, method: str, path: str, status: int, host: str
) -> None:
    key, entry = new_key("reader", ["read"], bytes(32))
    api = serve(api_keys=entry)

    answer = api.request(method, path, headers={"Host": host, "X-API-Key": key})

    # Also refused as it is by the protocol, where that reads the name first.
    assert answer.status_code in (status, 400)


@pytest.mark.parametrize("away", ["broker_url", "store_url"])
def test_a_caller_with_a_key_does_not_see_where_the_servers_are(
    serve: Serve, away: str, caplog: pytest.LogCaptureFixture
) -> None:
    key, entry = new_key("all", ["read", "run", "operate"], bytes(32))
    address = closed()
    place = address.rpartition("@")[2].partition("/")[0]
    api = serve(**{away: address, "api_keys": entry})
    api.headers["X-API-Key"] = key

    answers = [
        api.request(method, path)
        for method, path in (("POST", RUNS), ("GET", "/runs"), ("GET", "/dead"), ("GET", "/health/ready"))
    ]

    assert 503 in [answer.status_code for answer in answers]
    for answer in answers:
        assert place not in answer.text and place.partition(":")[2] not in answer.text
        assert "127.0.0.1" not in answer.text
    until(lambda: place in caplog.text, "the log has it")
