"""Runs are cancelled and repeated over HTTP."""

import asyncio
import re
from typing import Any

import httpx
import msgspec
import pytest

from mousetrap.earthquakes import EARTHQUAKES, Earthquake, Feed
from mousetrap.jobs import Done, Failure, GiveUp, Job, Outcome, decode, first_job
from mousetrap.run_store import Granted, RunStore, open_store
from support.waiting import until

RUNS = "/pipelines/earthquakes/runs"
FEED = {"url": "https://example.org/feed.geojson"}
#: What the first stage hands on.
FETCHED = msgspec.json.encode(
    Feed("One", 1, [Earthquake("e1", 4.2, "Somewhere", 1, 10.0, 20.0, 5.0, "earthquake")])
)
BROKEN = GiveUp("not-retryable", Failure(kind="Broken", text="no"))


def check(answer: httpx.Response, status: int, kind: str) -> str:
    """The detail of the problem that the answer must be."""
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:mousetrap:problem:{kind}"), (
        answer.text
    )
    return str(answer.json()["detail"])


def lead_to(store_url: str, run_id: str, handed_on: bytes, outcome: Outcome) -> None:
    """Does the first stage with this output, and ends the second one with this outcome, as workers would."""

    async def act() -> None:
        async with open_store(store_url, retention=600) as store:
            run = await store.get(run_id)
            assert run is not None
            fetch = first_job(
                run_id=run_id,
                pipeline=EARTHQUAKES.name,
                stage="fetch",
                payload=b"{}",
                accepted_ms=run.accepted_ms,
            )
            fence = await decide(store, fetch, Done(msgspec.Raw(handed_on)), next_stage="process")
            await decide(store, fetch.following("process", handed_on, fence=fence), outcome)

    asyncio.run(act())


async def decide(store: RunStore, job: Job, outcome: Outcome, *, next_stage: str | None = None) -> int:
    """Records the outcome of the job, and gives the fence that it is recorded under."""
    claim = await store.claim(job, worker="w1", redelivered=False, lease=30)
    assert isinstance(claim, Granted)
    how: dict[str, Any] = {"worker": "w1", "last": next_stage is None, "next_stage": next_stage}
    assert await store.decide(job, outcome, fence=claim.fence, **how) == "recorded"
    return claim.fence


def test_a_waiting_run_is_cancelled_and_again_changes_nothing(api: httpx.Client) -> None:
    run_id = api.post(RUNS).json()["run_id"]

    answers = [api.delete(f"/runs/{run_id}") for _ in range(2)]

    for answer in answers:
        assert (answer.status_code, answer.json()) == (200, {"run_id": run_id, "state": "cancelled"})
    run = api.get(f"/runs/{run_id}").json()
    assert [event["kind"] for event in run["timeline"]] == ["accepted", "cancelled"]
    assert run["finished_ms"] is not None


def test_a_rerun_that_takes_long_goes_on_and_its_answer_names_the_new_run(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    monkeypatch.setattr("mousetrap.api.start._TIMEOUT_S", 0.0)

    detail = check(api.post(f"/runs/{run_id}/rerun", json={}), 503, "unconfirmed")

    named = re.search(r"GET /runs/(\w+) until", detail)
    assert named is not None
    until(lambda: api.get(f"/runs/{named[1]}").status_code == 200, "the re-run is there")
    assert api.get(f"/runs/{named[1]}").json()["rerun_of"] == run_id


def test_an_ended_run_cannot_be_cancelled(api: httpx.Client, worker: Any) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    worker.complete(run_id, {})

    answer = api.delete(f"/runs/{run_id}")

    assert "completed" in check(answer, 409, "run-ended")
    assert api.get(f"/runs/{run_id}").json()["state"] == "completed"


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/runs/unknown"), ("POST", "/runs/unknown/rerun")])
def test_a_run_that_unknown_knows_is_a_problem(api: httpx.Client, method: str, path: str) -> None:
    check(api.request(method, path), 404, "unknown-run")


def test_a_re_run_is_a_new_run_on_the_same_input(api: httpx.Client, worker: Any) -> None:
    first = api.post(RUNS, json=FEED).json()["run_id"]
    worker.complete(first, {"earthquakes": 7})

    answer = api.post(f"/runs/{first}/rerun")

    assert answer.status_code == 202
    again = api.get(answer.headers["location"]).json()
    assert again["id"] == answer.json()["run_id"] != first
    assert (again["rerun_of"], again["state"], again["input"]) == (first, "queued", FEED)
    assert api.get(f"/runs/{first}").json()["state"] == "completed"
    assert api.get(f"/runs/{first}").json()["rerun_of"] is None
    (line,) = api.get(f"/runs/{first}/reruns").json()["runs"]
    assert (line["id"], line["state"]) == (again["id"], "queued")
    assert api.get(f"/runs/{again['id']}/reruns").json() == {"runs": [], "next": None}


def test_a_re_run_can_have_another_input(api: httpx.Client) -> None:
    first = api.post(RUNS, json=FEED).json()["run_id"]
    other = {"url": "https://example.org/other"}

    broken = api.post(f"/runs/{first}/rerun", json={"input": {"url": 1}})
    again = api.post(f"/runs/{first}/rerun", json={"input": other})

    check(broken, 422, "contract-broken")
    assert api.get(again.headers["location"]).json()["input"] == other


@pytest.mark.usefixtures("kind_of_runs")
def test_a_failed_run_goes_on_where_it_failed_with_what_that_stage_was_given(
    api: httpx.Client, store_url: str
) -> None:
    first = api.post(RUNS, json=FEED).json()["run_id"]
    lead_to(store_url, first, FETCHED, BROKEN)

    answer = api.post(f"/runs/{first}/rerun", json={"from": "failed"})

    again = api.get(answer.headers["location"]).json()
    assert (again["stage"], again["rerun_of"]) == ("process", first)
    assert again["input"] == msgspec.json.decode(FETCHED)


@pytest.mark.usefixtures("kind_of_runs")
def test_a_re_run_begins_at_a_stage_of_choice(api: httpx.Client, store_url: str) -> None:
    first = api.post(RUNS, json=FEED).json()["run_id"]
    lead_to(store_url, first, FETCHED, Done(msgspec.Raw(b"{}")))

    answer = api.post(f"/runs/{first}/rerun", json={"from": "process"})

    assert api.get(answer.headers["location"]).json()["stage"] == "process"


@pytest.mark.usefixtures("kind_of_runs")
def test_a_re_run_that_cannot_be_is_refused_with_what_can(
    api: httpx.Client, store_url: str, worker: Any
) -> None:
    waiting = api.post(RUNS, json=FEED).json()["run_id"]
    large = api.post(RUNS, json=FEED).json()["run_id"]
    padded = msgspec.json.encode({**msgspec.json.decode(FETCHED), "title": "x" * 70_000})
    lead_to(store_url, large, padded, BROKEN)
    runs = len(api.get("/runs").json()["runs"])

    unfailed = api.post(f"/runs/{waiting}/rerun", json={"from": "failed"})
    nowhere = api.post(f"/runs/{waiting}/rerun", json={"from": "nowhere"})
    not_there = api.post(f"/runs/{waiting}/rerun", json={"from": "process"})
    forgotten = api.post(f"/runs/{large}/rerun", json={"from": "failed"})

    assert "has not failed" in check(unfailed, 409, "rerun-impossible")
    assert "it has fetch, process" in check(nowhere, 409, "rerun-impossible")
    assert "is not kept" in check(not_there, 409, "rerun-impossible")
    assert "MOUSETRAP_KEEP_OUTPUT_BYTES" in check(forgotten, 409, "rerun-impossible")
    assert len(api.get("/runs").json()["runs"]) == runs


def test_a_repeated_key_gives_the_first_re_run_and_not_the_run_itself(api: httpx.Client) -> None:
    name = {"Idempotency-Key": "k"}
    first = api.post(RUNS, json=FEED, headers=name).json()["run_id"]

    once, twice = (api.post(f"/runs/{first}/rerun", headers=name) for _ in range(2))

    assert once.json() == twice.json()
    assert once.json()["run_id"] != first
    assert (once.headers.get("idempotent-replayed"), twice.headers["idempotent-replayed"]) == (None, "true")


@pytest.mark.parametrize(
    "body", [b"{", b'{"form": "start"}', b'{"from": 1}', b'{"from": "' + b"x" * 65 + b'"}']
)
def test_a_filter_that_makes_no_sense_starts_nothing(api: httpx.Client, body: bytes) -> None:
    run_id = api.post(RUNS).json()["run_id"]

    check(api.post(f"/runs/{run_id}/rerun", content=body), 422, "invalid-request")

    assert len(api.get("/runs").json()["runs"]) == 1


def test_a_run_can_be_given_a_time(api: httpx.Client) -> None:
    run_id = api.post(RUNS, params={"expires_in": 60}).json()["run_id"]

    run = api.get(f"/runs/{run_id}").json()

    assert run["expires_ms"] == run["accepted_ms"] + 60_000


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e12", "soon"])
def test_a_time_that_is_none_is_refused(api: httpx.Client, seconds: str) -> None:
    check(api.post(RUNS, params={"expires_in": seconds}), 422, "invalid-request")

    assert api.get("/runs").json()["runs"] == []


@pytest.mark.usefixtures("kind_of_runs")
def test_the_job_of_each_stage_is_shown_as_its_message_carried_it(api: httpx.Client, store_url: str) -> None:
    run_id = api.post(RUNS, json=FEED).json()["run_id"]
    early = check(api.get(f"/runs/{run_id}/jobs/process"), 409, "rerun-impossible")
    lead_to(store_url, run_id, FETCHED, BROKEN)

    first = api.get(f"/runs/{run_id}/jobs/start")
    failed = api.get(f"/runs/{run_id}/jobs/failed")

    assert "the run did not finish stage 'fetch'" in early
    assert (first.status_code, first.json()["payload"], first.json()["stage"]) == (200, FEED, "fetch")
    assert decode(failed.content).payload == msgspec.Raw(FETCHED)
    assert (failed.json()["stage"], failed.json()["attempt"], failed.json()["parent"]) == (
        *("process", 1),
        first.json()["id"],
    )
    check(api.get("/runs/unknown/jobs/start"), 404, "unknown-run")
    check(api.get(f"/runs/{run_id}/jobs/paint"), 409, "rerun-impossible")
