"""The API shows pipelines, and the last result of each."""

from typing import Any

import httpx

from mousetrap.api.read import _shown
from mousetrap.pipeline import Pipeline, Stage

RUNS = "/pipelines/earthquakes/runs"


def test_pipelines_are_shown_with_their_queues_and_contracts(api: httpx.Client) -> None:
    earthquakes, feeds = api.get("/pipelines").json()

    assert earthquakes["name"] == "earthquakes"
    assert earthquakes["description"]
    assert [(stage["name"], stage["queue"]) for stage in earthquakes["stages"]] == [
        ("fetch", "start_fetch"),
        ("process", "data_processing"),
    ]
    fetch, process = earthquakes["stages"]
    assert "url" in fetch["input"]["$defs"]["FeedRequest"]["properties"]
    assert fetch["output"] == process["input"]
    assert feeds["name"] == "feeds"


def test_latest_is_the_result_of_the_newest_completed_run(api: httpx.Client, worker: Any) -> None:
    first, second, _third = (api.post(RUNS).json()["run_id"] for _ in range(3))
    worker.complete(first, {"earthquakes": 1})
    worker.complete(second, {"earthquakes": 2})

    answer = api.get("/pipelines/earthquakes/latest")

    assert answer.json() == {"earthquakes": 2}
    assert answer.headers["mousetrap-run"] == second


def test_without_a_completed_run_latest_is_a_problem(api: httpx.Client) -> None:
    api.post(RUNS)

    answer = api.get("/pipelines/earthquakes/latest")

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:mousetrap:problem:no-result"


def test_latest_of_an_unknown_pipeline_is_a_problem(api: httpx.Client) -> None:
    answer = api.get("/pipelines/nothing/latest")

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:mousetrap:problem:unknown-pipeline"


def test_a_pipeline_is_described_once_and_a_changed_one_again() -> None:
    first, again, changed = (
        _shown(
            Pipeline(name="p", description=text, stages=(Stage(name="s", queue="q", input=int, output=int),))
        )
        for text in ("one", "one", "two")
    )

    assert first is again
    assert changed.description == "two"
