"""Shows how runs are started, started again, found and listed."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from redis import Redis

from mousetrap.earthquakes import EARTHQUAKES
from mousetrap.earthquakes_settings import FEED as FEED_SETTINGS
from mousetrap.job_queue import connect
from mousetrap.jobs import Delivery, Message, decode
from mousetrap.shapes import Progress
from mousetrap.signing import Keyring
from mousetrap.submit_run import run_id_of_key
from support.valkey import administrator

RUNS = "/pipelines/earthquakes/runs"
FEED = {"url": "https://example.org/feed.geojson"}


def messages(store_url: str, count: int) -> list[Message]:
    """The first messages of the queue that runs start in."""

    async def take() -> list[Message]:
        taken: list[Message] = []
        enough = asyncio.Event()

        def receive(delivery: Delivery) -> None:
            taken.append(delivery.message)
            delivery.acknowledge()
            if len(taken) == count:
                enough.set()

        async with connect(store_url, ["start_fetch"], name="test") as queue:
            await queue.consume("start_fetch", 10, receive)
            await asyncio.wait_for(enough.wait(), 60)
            assert await queue.count_ready("start_fetch") == 0
        return taken

    return asyncio.run(take())


def test_an_accepted_run_is_recorded_and_its_signed_job_waits_for_a_worker(
    serve: Callable[..., httpx.Client], store_url: str
) -> None:
    keys = "k1:sixteen-characters"
    api = serve(signing_keys=keys)

    answer = api.post(RUNS, json=FEED)

    assert answer.status_code == 202
    run_id = answer.json()["run_id"]
    assert answer.headers["location"] == answer.json()["url"] == f"/runs/{run_id}"
    assert "idempotent-replayed" not in answer.headers
    run = api.get(f"/runs/{run_id}").json()
    assert (run["pipeline"], run["state"], run["input"]) == ("earthquakes", "queued", FEED)
    assert [event["kind"] for event in run["timeline"]] == ["accepted"]
    (message,) = messages(store_url, 1)
    Keyring.parse(keys).verify(message.body, message.headers)
    job = decode(message.body)
    assert (job.run_id, job.stage, msgspec.json.decode(job.payload)) == (run_id, "fetch", FEED)


def test_on_rabbitmq_nothing_else_changes(serve: Callable[..., httpx.Client], broker_url: str) -> None:
    api = serve(broker_url=broker_url)

    run_id = api.post(RUNS, json=FEED).json()["run_id"]

    assert api.get("/health/ready").status_code == 200
    (message,) = messages(broker_url, 1)
    assert decode(message.body).run_id == run_id


def test_a_delayed_run_reaches_no_worker_before_its_time(api: httpx.Client, store_url: str) -> None:
    began = time.monotonic()
    run_id = api.post(RUNS, params={"delay": 1.5}).json()["run_id"]

    (message,) = messages(store_url, 1)

    assert decode(message.body).run_id == run_id
    assert time.monotonic() - began >= 1.5


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_an_empty_body_means_the_defaults(api: httpx.Client, body: bytes) -> None:
    run_id = api.post(RUNS, content=body).json()["run_id"]

    assert api.get(f"/runs/{run_id}").json()["input"]["url"].startswith("https://earthquake.usgs.gov/")


def test_an_empty_body_means_the_feed_of_the_settings(serve: Callable[..., httpx.Client]) -> None:
    api = serve(others={FEED_SETTINGS.prefix: FEED_SETTINGS.values(url="http://127.0.0.1:7001/week")})

    for path in (RUNS, "/refresh"):
        run_id = api.post(path).json()["run_id"]
        assert api.get(f"/runs/{run_id}").json()["input"] == {"url": "http://127.0.0.1:7001/week"}


def test_the_body_is_read_as_json_whatever_it_is_called(api: httpx.Client) -> None:
    answer = api.post(RUNS, content=msgspec.json.encode(FEED), headers={"content-type": "text/plain"})

    assert api.get(answer.headers["location"]).json()["input"] == FEED


def test_a_repeated_idempotency_key_starts_one_run(api: httpx.Client, store_url: str) -> None:
    first = api.post(RUNS, json=FEED, headers={"Idempotency-Key": "order 66"})
    again = api.post(RUNS, json=FEED, headers={"Idempotency-Key": "order 66"})
    other = api.post(RUNS, json=FEED, headers={"Idempotency-Key": "order 67"})

    assert first.json() == again.json()
    assert first.json()["run_id"] == run_id_of_key("", "earthquakes", "order 66")
    assert "idempotent-replayed" not in first.headers
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert other.json() != first.json()
    assert len(api.get("/runs").json()["runs"]) == 2
    assert len({message.id for message in messages(store_url, 2)}) == 2


def test_a_run_can_have_an_id_of_the_callers_choice(api: httpx.Client) -> None:
    first = api.post(RUNS, json=FEED, params={"run_id": "2026-W47_a"})
    again = api.post(RUNS, json=FEED, params={"run_id": "2026-W47_a"})

    assert first.json() == again.json() == {"run_id": "2026-W47_a", "url": "/runs/2026-W47_a"}
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("name", [{"headers": {"Idempotency-Key": "k"}}, {"params": {"run_id": "mine"}}])
def test_the_same_name_for_another_body_is_a_conflict(api: httpx.Client, name: dict[str, Any]) -> None:
    first = api.post(RUNS, json=FEED, **name)

    answer = api.post(RUNS, json={"url": "https://example.org/other"}, **name)

    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:mousetrap:problem:run-conflict"
    assert first.json()["run_id"] in answer.json()["detail"]
    assert api.get(first.json()["url"]).json()["input"] == FEED


@pytest.mark.parametrize(
    ("body", "where", "what"),
    [
        (b"{", "$", "truncated"),
        (b"\xff", "$", "malformed"),
        (b"[]", "$", "Expected `object`, got `array`"),
        (b'{"url": 1}', "$.url", "Expected `str`, got `int`"),
        (b'{"url": "ftp://example.org"}', "$.url", "matching regex"),
        (b'{"uri": ""}', "$", "unknown field `uri`"),
        (b'{"url":' + b"[" * 100_000, "$.url", "Expected `str`, got `array`"),
    ],
)
def test_a_body_that_breaks_the_contract_is_refused_with_the_place(
    api: httpx.Client, body: bytes, where: str, what: str
) -> None:
    answer = api.post(RUNS, content=body)

    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["type"], problem["where"]) == ("urn:mousetrap:problem:contract-broken", where)
    assert what in problem["detail"]
    assert "GET /pipelines" in problem["detail"]
    assert api.get("/runs").json()["runs"] == []


def test_a_problem_does_not_repeat_a_long_name_of_the_callers(api: httpx.Client) -> None:
    answer = api.post(RUNS, json={"x" * 100_000: 1})

    assert answer.status_code == 422
    assert len(answer.content) < 1000


@pytest.mark.parametrize(
    ("request_", "kind", "where"),
    [
        ({"params": {"run_id": "a b"}}, "invalid-request", "query.run_id"),
        ({"params": {"run_id": "x" * 65}}, "invalid-request", "query.run_id"),
        ({"params": {"run_id": ""}}, "invalid-request", "query.run_id"),
        ({"headers": {"Idempotency-Key": ""}}, "invalid-request", "header.Idempotency-Key"),
        ({"headers": {"Idempotency-Key": "x" * 256}}, "invalid-request", "header.Idempotency-Key"),
        ({"headers": {"Idempotency-Key": b"\xe9"}}, "invalid-request", "header.Idempotency-Key"),
        ({"params": {"run_id": "a"}, "headers": {"Idempotency-Key": "k"}}, "two-ids", None),
    ],
)
def test_a_wrong_name_for_a_run_is_refused(
    api: httpx.Client, request_: Any, kind: str, where: str | None
) -> None:
    answer = api.post(RUNS, **request_)

    assert answer.status_code == (400 if kind == "two-ids" else 422)
    assert answer.json()["type"] == f"urn:mousetrap:problem:{kind}"
    assert answer.json().get("where") == where
    assert api.get("/runs").json()["runs"] == []


def test_an_unknown_pipeline_is_refused_with_the_known_ones(api: httpx.Client) -> None:
    answer = api.post("/pipelines/earthquake/runs")

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:mousetrap:problem:unknown-pipeline"
    assert "earthquakes" in answer.json()["detail"]


def test_a_run_is_shown_with_its_timeline_progress_and_result(api: httpx.Client, worker: Any) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    worker.begin(run_id)
    worker.report(run_id, Progress(stage="fetch", done=1, total=4, note="reading"))

    running = api.get(f"/runs/{run_id}").json()
    worker.complete(run_id, {"earthquakes": 7})
    completed = api.get(f"/runs/{run_id}").json()

    assert running["state"] == "running"
    shown = {"stage": "fetch", "done": 1, "total": 4, "note": "reading", "lost": None}
    assert running["progress"] == shown
    assert running["result"] is running["finished_ms"] is None
    assert (completed["state"], completed["result"]) == ("completed", {"earthquakes": 7})
    kinds = [event["kind"] for event in completed["timeline"]]
    assert kinds == ["accepted", "started", "finished", "started", "finished", "completed"]
    assert completed["timeline"][1]["worker"] == "w1"
    assert completed["finished_ms"] >= completed["accepted_ms"]


def test_an_ended_run_is_forgotten_with_its_result_after_the_retention(
    serve: Callable[..., httpx.Client], worker: Any, store_url: str
) -> None:
    api = serve(retention_seconds=600.0)
    run_id = api.post(RUNS).json()["run_id"]
    worker.complete(run_id, {"earthquakes": 7})

    with Redis.from_url(administrator(store_url)) as client:
        lives: dict[bytes, Any] = {key: client.pttl(key) for key in client.scan_iter(f"*{run_id}*")}

    assert lives
    # Ten minutes; what watchers follow stays for an hour.
    assert {key: left_ms for key, left_ms in lives.items() if not 0 < left_ms <= 3_600_000} == {}


def test_a_failed_run_reports_why(api: httpx.Client, worker: Any) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    worker.fail(run_id, "the feed has no features")

    run = api.get(f"/runs/{run_id}").json()

    assert run["state"] == "failed"
    assert run["failure"] == {"kind": "Broken", "text": "the feed has no features", "traceback": ""}


@pytest.mark.parametrize("path", ["/runs/unknown", "/runs/unknown/events"])
def test_an_unknown_run_is_a_problem(api: httpx.Client, path: str) -> None:
    answer = api.get(path)

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:mousetrap:problem:unknown-run"


@pytest.mark.parametrize("run_id", ["a%20b", "x" * 65, "%00", "*"])
def test_a_run_id_of_a_wrong_form_is_refused(api: httpx.Client, run_id: str) -> None:
    answer = api.get(f"/runs/{run_id}")

    assert (answer.status_code, answer.json()["where"]) == (422, "path.run_id")


def test_runs_are_listed_newest_first_by_page(api: httpx.Client) -> None:
    started = [api.post(RUNS).json()["run_id"] for _ in range(5)]

    pages: list[list[str]] = []
    question: dict[str, Any] | None = {"pipeline": "earthquakes", "limit": 2}
    while question:
        page = api.get("/runs", params=question).json()
        pages.append([run["id"] for run in page["runs"]])
        question = {**question, "after": page["next"]} if page["next"] else None

    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted(run_id for page in pages for run_id in page) == sorted(started)
    assert api.get("/runs", params={"pipeline": "another"}).json() == {"runs": [], "next": None}


def test_a_page_from_the_far_future_is_the_first_page(api: httpx.Client) -> None:
    run_id = api.post(RUNS).json()["run_id"]

    answer = api.get("/runs", params={"after": "9999999999999:x"})

    assert [run["id"] for run in answer.json()["runs"]] == [run_id]


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({"limit": 0}, "query.limit"),
        ({"limit": 201}, "query.limit"),
        ({"limit": "many"}, "query.limit"),
        ({"after": "yesterday"}, "query.after"),
        ({"after": "1765432100123:a b"}, "query.after"),
        ({"pipeline": "*"}, "query.pipeline"),
        ({"tag": ""}, "query.tag"),
        ({"state": ["failed", "running"]}, "query.state"),
    ],
)
def test_a_wrong_question_for_runs_is_refused(api: httpx.Client, query: dict[str, Any], where: str) -> None:
    answer = api.get("/runs", params=query)

    assert (answer.status_code, answer.json()["where"]) == (422, where)
    assert "pattern" not in answer.json()["detail"] or where != "query.after"


def test_the_log_names_the_run_and_shows_no_body(api: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        run_id = api.post(RUNS, json={"url": "https://example.org/?token=hidden"}).json()["run_id"]

    (record,) = [it for it in caplog.records if it.message == "accepted a run"]
    assert vars(record)["run"] == run_id
    assert vars(record)["pipeline"] == EARTHQUAKES.name
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("state", ["queued", "failed", "completed"])
def test_runs_are_listed_by_state(api: httpx.Client, worker: Any, state: str) -> None:
    started = {
        name: [api.post(RUNS).json()["run_id"] for _ in range(2)]
        for name in ("queued", "failed", "completed")
    }
    for run_id in started["failed"]:
        worker.fail(run_id, "no")
    for run_id in started["completed"]:
        worker.complete(run_id, {})

    found, after = [], None
    while True:
        page = api.get(
            "/runs", params={"state": state, "limit": 1, **({"after": after} if after else {})}
        ).json()
        assert len(page["runs"]) <= 1
        found += [run["id"] for run in page["runs"]]
        if (after := page["next"]) is None:
            break

    assert sorted(found) == sorted(started[state])


def test_a_state_that_is_none_is_refused_with_those_there_are(api: httpx.Client) -> None:
    answer = api.get("/runs", params={"state": "done"})

    assert (answer.status_code, answer.json()["where"]) == (422, "query.state")
    assert "'completed'" in answer.json()["detail"]


def test_a_list_shows_no_traceback_and_the_run_itself_does(api: httpx.Client, worker: Any) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    worker.fail(run_id, "no", traceback="File /srv/secret/handler.py")

    listed = api.get("/runs")

    assert listed.json()["runs"][0]["failure"] == {"kind": "Broken", "text": "no"}
    assert "handler.py" not in listed.text
    assert "handler.py" in api.get(f"/runs/{run_id}").json()["failure"]["traceback"]


def test_runs_are_found_by_each_condition(api: httpx.Client) -> None:
    for run_id, tags in (("aa1", ["nightly"]), ("ab2", []), ("b3", ["nightly", "two"])):
        started = api.post(RUNS, json=FEED, params={"run_id": run_id, **({"tags": tags} if tags else {})})
        assert started.status_code == 202
    api.delete("/runs/ab2")
    accepted = {run["id"]: run["accepted_ms"] for run in api.get("/runs").json()["runs"]}

    def found(**wanted: Any) -> list[str]:
        return [run["id"] for run in api.get("/runs", params=wanted).json()["runs"]]

    assert found(state="cancelled") == ["ab2"]
    assert found(state="queued", tag="nightly", pipeline="earthquakes", stage="fetch") == ["b3", "aa1"]
    assert found(id="a") == ["ab2", "aa1"]
    assert found(from_ms=accepted["b3"]) == ["b3"]
    assert found(to_ms=accepted["ab2"], id="a") == ["aa1"]
    for nothing in ({"error": "Broken"}, {"worker": "w1"}, {"repaired": "false"}, {"stage": "process"}):
        assert found(**nothing) == []


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        ({"from_ms": 2, "to_ms": 2}, "swap them"),
        ({"from_ms": -1}, "from_ms"),
        ({"to_ms": 10**13}, "to_ms"),
        ({"id": "a b"}, "id"),
        ({"state": "asleep"}, "state"),
        ({"repaired": "perhaps"}, "repaired"),
        ({"tag": "x" * 65}, "tag"),
        ({"error": "x" * 201}, "error"),
        ({"after": "x"}, "after"),
    ],
)
def test_a_time_that_ends_before_it_begins_is_refused(
    api: httpx.Client, wanted: dict[str, Any], where: str
) -> None:
    answer = api.get("/runs", params=wanted)

    assert (answer.status_code, answer.json()["type"]) == (422, "urn:mousetrap:problem:invalid-request")
    assert where in str(answer.json())
