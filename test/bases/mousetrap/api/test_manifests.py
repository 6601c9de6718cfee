"""Pipelines that only workers have are started and shown as others."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import httpx
import msgspec
import pytest

from mousetrap.api import create_app
from mousetrap.job_queue import connect
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline, Stage, schema
from mousetrap.settings import Settings
from support.published import a_pipeline, beat, leave

SHORT = Annotated[str, msgspec.Meta(max_length=5)]


class Page(msgspec.Struct):
    """A page, which no image of the API has the class of."""

    url: str
    size: int = 0


WORDS = a_pipeline(contract=Page)


@pytest.fixture
def publish(store_url: str) -> Callable[..., None]:
    """`publish("w1", PIPELINE)`: a worker with this pipeline is up, and has declared its queues."""

    async def up(worker: str, pipeline: Pipeline) -> None:
        async with connect(store_url, [stage.queue for stage in pipeline.stages], name=worker) as queue:
            await queue.count_ready(pipeline.first.queue)
        await beat(store_url, worker, pipeline)

    return lambda worker, pipeline: asyncio.run(up(worker, pipeline))


def kind(answer: httpx.Response) -> tuple[int, str]:
    """The status and the kind of a problem."""
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def test_a_worker_s_pipeline_can_be_started_at_once_and_its_contract_holds(
    api: httpx.Client, publish: Callable[..., None]
) -> None:
    publish("w1", WORDS)

    accepted = api.post("/pipelines/words/runs", json={"url": "here"})
    wrong = api.post("/pipelines/words/runs", json={"url": 7})

    assert accepted.status_code == 202, accepted.text
    assert api.get(accepted.headers["location"]).json()["input"] == {"url": "here"}
    assert kind(wrong) == (422, "contract-broken")
    assert wrong.json()["where"] == "$.url"


def test_it_is_shown_and_described_with_its_schemas(api: httpx.Client, publish: Callable[..., None]) -> None:
    before = api.get("/openapi.json").json()
    publish("w1", WORDS)

    shown = api.get("/pipelines/words").json()

    assert [stage["queue"] for stage in shown["stages"]] == ["texts", "texts_kept"]
    assert shown["stages"][0]["input"] == schema(Page)
    assert [each["name"] for each in api.get("/pipelines").json()] == ["earthquakes", "feeds", "words"]
    after = api.get("/openapi.json").json()
    assert set(after["paths"]) - set(before["paths"]) == {
        f"/pipelines/words{part}" for part in ("", "/batch", "/latest", "/runs")
    }
    assert after["components"]["schemas"]["contract.Page"]["required"] == ["url"]


def test_it_stays_when_its_worker_has_left(
    api: httpx.Client, publish: Callable[..., None], store_url: str, serve: Callable[..., httpx.Client]
) -> None:
    publish("w1", WORDS)
    asyncio.run(leave(store_url, "w1"))

    for server in (api, serve()):
        assert server.post("/pipelines/words/runs", json={"url": "here"}).status_code == 202


def test_workers_that_contradict_each_other_are_named_and_nothing_is_accepted(
    api: httpx.Client, publish: Callable[..., None], store_url: str
) -> None:
    publish("w1", WORDS)
    publish("w2", a_pipeline(queue="elsewhere", contract=Page))

    for answer in (
        api.post("/pipelines/words/runs", json={"url": "here"}),
        api.get("/pipelines/words"),
        api.get("/pipelines/words/latest"),
    ):
        assert kind(answer) == (409, "pipeline-contradicted")
        assert all(
            part in answer.json()["detail"] for part in ("w1", "w2", "texts", "elsewhere", "stop the worker")
        )
    assert [each["name"] for each in api.get("/pipelines").json()] == ["earthquakes", "feeds"]


def test_while_contracts_differ_an_input_must_fit_each(
    api: httpx.Client, publish: Callable[..., None]
) -> None:
    publish("w1", a_pipeline(contract=SHORT))
    publish("w2", a_pipeline())

    assert kind(api.post("/pipelines/words/runs", json="far too long")) == (422, "contract-broken")
    assert api.post("/pipelines/words/runs", json="short").status_code == 202
    assert "contract.words" not in str(api.get("/openapi.json").json()["components"]["schemas"].keys())


def test_its_runs_are_repeated_and_its_queue_and_dead_letters_shown(
    api: httpx.Client, publish: Callable[..., None]
) -> None:
    publish("w1", WORDS)
    run = api.post("/pipelines/words/runs", json={"url": "here"}).json()["run_id"]

    assert api.get("/queues/texts").json()["ready"] == 1
    assert api.get("/dead", params={"queue": "texts"}).json()["letters"] == []
    assert api.get("/dead").status_code == 200
    again = api.post(f"/runs/{run}/rerun", json={"from": "start", "input": {"url": "there"}})
    assert again.status_code == 202, again.text
    assert kind(api.post(f"/runs/{run}/rerun", json={"input": {"url": 7}})) == (422, "contract-broken")


def test_a_queue_that_the_broker_does_not_have_hides_no_other_dead_letters(
    api: httpx.Client, store_url: str
) -> None:
    asyncio.run(beat(store_url, "w1", WORDS))
    assert api.get("/pipelines/words").status_code == 200

    assert api.get("/dead").status_code == 200
    assert api.get("/dead/export").status_code == 200
    assert kind(api.get("/dead", params={"queue": "texts"})) == (503, "unroutable")
    assert kind(api.post("/pipelines/words/runs", json={"url": "here"})) == (503, "unroutable")


def test_an_api_without_pipelines_serves_those_of_workers(store_url: str) -> None:
    app = create_app(Settings(broker_url=store_url, store_url=store_url), {})

    async def use() -> tuple[Any, ...]:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as api,
        ):
            unknown = await api.post("/pipelines/words/runs")
            described = (await api.get("/openapi.json")).json()
            await beat(store_url, "w1", WORDS)
            return unknown, described, await api.get("/pipelines/words")

    unknown, described, known = asyncio.run(use())

    assert kind(unknown) == (404, "unknown-pipeline")
    assert "this server and the workers have: no pipeline" in unknown.json()["detail"]
    assert "/pipelines/{pipeline}/runs" in described["paths"]
    assert known.status_code == 200


GRAPH = Pipeline(
    name="papers",
    description="Reads papers.",
    stages=(
        Stage(name="find", queue="papers_find", input=str, output=Many[Page]),
        Stage(name="read", queue="papers_read", input=Page, output=int, after=Each("find")),
        Stage(name="sum", queue="papers_sum", input=Gathered[int], output=int, after=All("read", need=0.95)),
    ),
)


def test_a_fan_out_of_a_worker_is_shown_with_its_edges(
    api: httpx.Client, publish: Callable[..., None]
) -> None:
    publish("w1", GRAPH)

    find, read, add = api.get("/pipelines/papers").json()["stages"]

    assert [(it["after"], it["edge"], it["need"]) for it in (find, read, add)] == [
        ([], "one", None),
        (["find"], "each", None),
        (["read"], "gather", 0.95),
    ]
    assert find["output"]["items"] == {"$ref": "#/$defs/Page"}
    assert add["input"]["title"] == "Gathered"
