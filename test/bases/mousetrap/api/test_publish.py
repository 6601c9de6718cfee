"""A topic starts a run of each pipeline that takes it."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from mousetrap.job_queue import connect
from mousetrap.jobs import QueueUnreachable
from mousetrap.pipeline import Pipeline
from mousetrap.submit_run import Submitter
from support.published import a_pipeline, beat, leave


class Order(msgspec.Struct):
    """What was ordered."""

    id: int


class Priced(msgspec.Struct):
    """What was ordered, and for how much."""

    id: int
    price: float


MAILS = a_pipeline("mails", queue="mails", contract=Order, topics=("orders.*",))
BOOKS = a_pipeline("books", queue="books", contract=Order, topics=("orders.created", "invoices.#"))
AUDIT = a_pipeline("audit", queue="audits", contract=dict[str, Any], topics=("#",))

Up = Callable[..., None]


@pytest.fixture
def api(serve: Callable[..., httpx.Client], each_broker_url: str) -> httpx.Client:
    return serve(broker_url=each_broker_url)


@pytest.fixture
def up(store_url: str, each_broker_url: str) -> Up:
    """`up("w1", MAILS, …)`: a worker with these pipelines is up, and has declared their queues."""

    async def start(worker: str, *pipelines: Pipeline) -> None:
        queues = [stage.queue for pipeline in pipelines for stage in pipeline.stages]
        async with connect(each_broker_url, queues, name=worker) as queue:
            for name in queues:
                await queue.count_ready(name)
        await beat(store_url, worker, *pipelines)

    return lambda worker, *pipelines: asyncio.run(start(worker, *pipelines))


def kind(answer: httpx.Response) -> tuple[int, str]:
    """The status and the kind of a problem."""
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def count(api: httpx.Client) -> int:
    return len(api.get("/runs").json()["runs"])


def test_a_run_of_each_taker_is_started_recorded_and_found_by_its_topic(api: httpx.Client, up: Up) -> None:
    up("w1", MAILS, BOOKS)
    up("w2", AUDIT)

    answer = api.post("/topics/orders.created", json={"id": 7}, params={"tags": "shop"})

    assert answer.status_code == 202, answer.text
    published = answer.json()
    assert [run["pipeline"] for run in published["runs"]] == ["audit", "books", "mails"]
    assert all(run["new"] for run in published["runs"])
    for run in published["runs"]:
        shown = api.get(run["url"]).json()
        assert (shown["pipeline"], shown["input"]) == (run["pipeline"], {"id": 7})
        assert shown["tags"] == ["topic:orders.created", "shop"]
    found = api.get("/runs", params={"tag": "topic:orders.created"}).json()["runs"]
    assert {run["id"] for run in found} == {run["run_id"] for run in published["runs"]}
    assert [api.get(f"/queues/{name}").json()["ready"] for name in ("mails", "books", "audits")] == [1, 1, 1]


def test_only_those_that_take_the_topic_have_a_run(api: httpx.Client, up: Up) -> None:
    up("w1", MAILS, BOOKS)

    paid = api.post("/topics/orders.paid", json={"id": 7}).json()["runs"]
    late = api.post("/topics/invoices.eu.late", json={"id": 7}).json()["runs"]

    assert [run["pipeline"] for run in paid] == ["mails"]
    assert [run["pipeline"] for run in late] == ["books"]


def test_a_topic_without_taker_is_refused_with_what_is_taken(api: httpx.Client, up: Up) -> None:
    up("w1", MAILS, BOOKS)

    answer = api.post("/topics/order.created", json={"id": 7})

    assert kind(answer) == (404, "no-taker")
    problem = answer.json()
    assert problem["taken"] == ["invoices.#", "orders.*", "orders.created"]
    assert problem["nearest"] == "orders.*"
    assert "is it one of 'orders.*'?" in problem["detail"]
    assert count(api) == 0


def test_where_nothing_is_taken_the_error_reports_it(api: httpx.Client) -> None:
    answer = api.post("/topics/orders.created", json={"id": 7})

    assert kind(answer) == (404, "no-taker")
    assert (answer.json()["taken"], answer.json()["nearest"]) == ([], None)
    assert "taken are: none" in answer.json()["detail"]


def test_a_body_that_one_taker_refuses_starts_no_run_at_all(api: httpx.Client, up: Up) -> None:
    up("w1", MAILS, a_pipeline("prices", queue="prices", contract=Priced, topics=("orders.#",)))

    answer = api.post("/topics/orders.created", json={"id": 7})

    assert kind(answer) == (422, "contract-broken")
    assert "pipeline 'prices' takes this topic" in answer.json()["detail"]
    assert answer.json()["where"] == "$"
    assert count(api) == 0


def test_a_key_gives_the_first_runs_and_starts_what_is_missing(api: httpx.Client, up: Up) -> None:
    up("w1", MAILS)
    key = {"Idempotency-Key": "order-7"}
    first = api.post("/topics/orders.created", json={"id": 7}, headers=key)

    again = api.post("/topics/orders.created", json={"id": 7}, headers=key)
    up("w2", BOOKS)
    api.get("/pipelines/books")  # now it is known
    more = api.post("/topics/orders.created", json={"id": 7}, headers=key)
    other = api.post("/topics/orders.paid", json={"id": 7}, headers=key)
    direct = api.post("/pipelines/mails/runs", json={"id": 7}, headers=key)

    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["runs"] == [{**first.json()["runs"][0], "new": False}]
    assert [(run["pipeline"], run["new"]) for run in more.json()["runs"]] == [
        ("books", True),
        ("mails", False),
    ]
    assert "idempotent-replayed" not in more.headers
    assert other.json()["runs"][0]["new"], "another topic is another message"
    assert direct.json()["run_id"] not in {run["run_id"] for run in first.json()["runs"]}
    conflict = api.post("/topics/orders.paid", json={"id": 8}, headers=key)
    assert kind(conflict) == (409, "run-conflict")


def test_a_taker_that_workers_contradict_each_other_about_is_not_passed_over(
    api: httpx.Client, up: Up
) -> None:
    up("w1", MAILS, BOOKS)
    up("w2", a_pipeline("mails", queue="elsewhere", contract=Order))

    answer = api.post("/topics/orders.created", json={"id": 7})

    assert kind(answer) == (409, "pipeline-contradicted")
    assert "w1" in answer.json()["detail"]
    assert count(api) == 0
    assert api.post("/topics/invoices.late", json={"id": 7}).status_code == 202


def test_a_pipeline_whose_workers_have_left_goes_on_taking(api: httpx.Client, up: Up, store_url: str) -> None:
    up("w1", MAILS)
    asyncio.run(leave(store_url, "w1"))

    assert api.post("/topics/orders.created", json={"id": 7}).status_code == 202


def test_what_is_taken_is_that_of_the_worker_that_started_last(api: httpx.Client, up: Up) -> None:
    up("w1", MAILS)
    assert api.post("/topics/orders.created", json={"id": 7}).status_code == 202
    up("w2", a_pipeline("mails", queue="mails", contract=Order, topics=("bills.*",)))

    assert api.post("/topics/bills.sent", json={"id": 7}).status_code == 202
    assert kind(api.post("/topics/orders.created", json={"id": 7})) == (404, "no-taker")


@pytest.mark.parametrize("topic", ["orders.*", "orders..created", "a" * 59, "orders created"])
def test_what_is_no_topic_is_refused(api: httpx.Client, up: Up, topic: str) -> None:
    up("w1", AUDIT)

    answer = api.post(f"/topics/{topic}", json={"id": 7})

    assert kind(answer) == (422, "invalid-request")
    assert answer.json()["where"] == "path.topic"


def test_options_are_those_of_each_run_and_wrong_ones_are_named(api: httpx.Client, up: Up) -> None:
    up("w1", MAILS, AUDIT)

    later = api.post("/topics/orders.created", json={"id": 7}, params={"delay": "60"}).json()["runs"]
    many = api.post("/topics/orders.created", json={"id": 7}, params={"tags": [f"t{n}" for n in range(16)]})
    misspelt = api.post("/topics/orders.created", json={"id": 7}, params={"wait": "5"})

    assert all(api.get(run["url"]).json()["due_ms"] for run in later)
    assert kind(many) == (422, "invalid-request")
    assert many.json()["where"] == "query.tags"
    assert kind(misspelt) == (422, "unknown-parameter")


def test_where_some_runs_are_not_accepted_the_key_starts_the_rest(
    api: httpx.Client, up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    up("w1", MAILS, BOOKS)
    publish = Submitter._accept

    async def without_books(self: Submitter, submission: Any, *more: Any, **options: Any) -> Any:
        if submission.pipeline.name == "books":
            raise QueueUnreachable("the broker at amqp://secret is away")
        return await publish(self, submission, *more, **options)

    monkeypatch.setattr(Submitter, "_accept", without_books)
    answer = api.post("/topics/orders.created", json={"id": 7})
    monkeypatch.undo()

    assert kind(answer) == (503, "broker-away")
    problem = answer.json()
    assert len(problem["run_ids"]) == 2, "one is there, and one may be"
    assert problem["key"] in problem["detail"]
    assert count(api) == 1
    again = api.post("/topics/orders.created", json={"id": 7}, headers={"Idempotency-Key": problem["key"]})
    assert [(run["pipeline"], run["new"]) for run in again.json()["runs"]] == [
        ("books", True),
        ("mails", False),
    ]
    assert {run["run_id"] for run in again.json()["runs"]} == set(problem["run_ids"])
