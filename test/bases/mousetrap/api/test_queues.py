"""A queue's page shows how many jobs wait, and for how long."""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import pytest

from mousetrap.api_keys import new_key
from mousetrap.job_queue import connect
from support.inbox import Inbox
from support.manifests import of_kind
from support.ports import closed_port
from support.waiting import until

Serve = Callable[..., httpx.Client]
RUNS, QUEUE = "/pipelines/earthquakes/runs", "/queues/start_fetch"


def take_one(url: str) -> None:
    """What a worker does with a job."""

    async def take() -> None:
        async with connect(url, ["start_fetch"], name="worker") as queue:
            inbox = Inbox()
            await queue.consume("start_fetch", 10, inbox)
            await inbox.acknowledge(1)

    asyncio.run(take())


@pytest.mark.parametrize("kind", ["broker_url", "store_url"])
def test_a_queue_reports_how_many_jobs_wait_and_how_long_the_oldest_has(
    request: pytest.FixtureRequest, serve: Serve, kind: str
) -> None:
    url = request.getfixturevalue(kind)
    api = serve(broker_url=url)
    assert api.get(QUEUE).raise_for_status().json() == {
        "name": "start_fetch",
        "stages": ["earthquakes.fetch"],
        "missing": False,
        "ready": 0,
        "running": 0,
        "delayed": 0,
        "dead": 0,
        "consumers": 0,
        "workers": 0,
        "slots": 0,
        "oldest_seconds": 0.0,
        "out_per_minute": 0.0,
        "in_per_minute": None,
        "paused": None,
    }

    api.post(RUNS, json={}).raise_for_status()

    first = until(lambda: (seen := api.get(QUEUE).json())["ready"] == 1 and seen, "the job waits")
    # On a busy machine the first look may be late, and is shared for a while.
    older = max(0.5, first["oldest_seconds"])
    later = until(lambda: (seen := api.get(QUEUE).json())["oldest_seconds"] > older and seen, "it grows old")
    assert later["ready"] == 1
    assert api.get("/queues/data_processing").json()["ready"] == 0

    take_one(url)

    until(lambda: api.get(QUEUE).json()["ready"] == 0, "it is taken")
    assert api.get(QUEUE).json()["oldest_seconds"] == 0.0


def test_the_queues_of_one_pipeline_are_asked_for_alone(serve: Serve, store_url: str) -> None:
    api = serve(broker_url=store_url)

    found = api.get("/queues", params={"pipeline": "earthquakes"}).raise_for_status().json()

    assert [queue["name"] for queue in found] == ["data_processing", "start_fetch"]
    unknown = api.get("/queues", params={"pipeline": "earthquake"})
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:mousetrap:problem:unknown-pipeline")


def test_a_queue_that_is_no_stage_s_is_not_reported(api: httpx.Client) -> None:
    for name in ("other", "start_fetch.dead"):
        answer = api.get(f"/queues/{name}")

        assert (answer.status_code, answer.json()["type"]) == (404, "urn:mousetrap:problem:unknown-queue")


def test_a_key_that_may_read_is_enough_and_one_that_may_not_is_refused_with_the_reason(serve: Serve) -> None:
    reader, may_read = new_key("keda", ["read"], bytes(32))
    starter, may_start = new_key("starter", ["run"], bytes(range(32)))
    api = serve(api_keys=f"{may_read}\n{may_start}")

    assert api.get(QUEUE, headers={"Authorization": f"Bearer {reader}"}).status_code == 200
    assert api.get(QUEUE, headers={"Authorization": f"Bearer {starter}"}).status_code == 403


def test_each_number_that_the_shipped_autoscaler_asks_for_is_in_the_answer(
    serve: Serve, each_broker_url: str
) -> None:
    api = serve(broker_url=each_broker_url)
    triggers = [
        trigger["metadata"] for each in of_kind("ScaledObject") for trigger in each["spec"]["triggers"]
    ]

    found = {
        (trigger["url"], trigger["valueLocation"]): api.get(urlsplit(trigger["url"]).path)
        .raise_for_status()
        .json()[trigger["valueLocation"]]
        for trigger in triggers
    }

    assert len(found) == len(triggers)
    assert set(found.values()) == {0}


@pytest.mark.parametrize("absent", ["broker", "store"])
def test_without_broker_or_store_no_number_is_given(serve: Serve, absent: str) -> None:
    port = closed_port()
    api = serve(**{f"{absent}_url": f"valkey://127.0.0.1:{port}/0"})

    answer = api.get(QUEUE)

    assert (answer.status_code, answer.json()["away"]) == (503, [absent])
