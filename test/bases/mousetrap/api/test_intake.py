"""New runs are refused before store or dead queues are full."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from redis import Redis

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.job_queue import connect
from mousetrap.jobs import Message, dead_queue
from support.valkey import administrator
from support.waiting import until

RUNS = "/pipelines/earthquakes/runs"
QUEUE = "data_processing"
Serve = Callable[..., httpx.Client]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.housekeeping.measure_intake.EVERY_S", 0.05)


def bury(url: str, count: int) -> None:
    async def story() -> None:
        async with connect(url, [QUEUE], name="test") as queue:
            for number in range(count):
                headers = {"mousetrap-reason": "contract", "mousetrap-at": str(1 + number)}
                await queue.publish(dead_queue(QUEUE), Message(f"m{number}", b"x", headers))

    asyncio.run(story())


def test_no_run_is_accepted_while_a_queue_of_its_pipeline_holds_as_many_dead_letters_as_it_may(
    serve: Serve, queue_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    api = serve(broker_url=queue_url, dead_max_length=5)
    until(lambda: api.post(RUNS).status_code == 202, "it serves")
    bury(queue_url, 4)
    until(lambda: "dead letters are in data_processing" in caplog.text, "the log warns before")
    assert api.post(RUNS).status_code == 202
    bury(queue_url, 2)  # the bound is no bound of the dead queue: what is given up is kept

    # The first of the two reaches the bound already: a count may be taken between them.
    until(
        lambda: "6 dead letters are in data_processing" in api.post(RUNS).text,
        "runs are refused, both counted",
    )
    refused = api.post(RUNS)

    assert (refused.status_code, refused.json()["type"]) == (503, "urn:mousetrap:problem:dead-letters-full")
    assert "MOUSETRAP_DEAD_MAX_LENGTH" in refused.json()["detail"]
    assert api.get("/dead").json()["matched"] == 6
    assert api.post("/dead/discard", json={"all": True}).json()["discarded"] == 6
    until(lambda: api.post(RUNS).status_code == 202, "runs are accepted again")


@pytest.fixture
def bounded(own_valkey: EmbeddedValkey) -> Iterator[Redis]:
    """A store that may take 8 MiB more than it does."""
    with Redis.from_url(administrator(own_valkey.url)) as client:
        was: Any = client.config_get("maxmemory")["maxmemory"]
        used: Any = client.info("memory")["used_memory"]
        client.config_set("maxmemory", used + 8_388_608)
        yield client
        client.config_set("maxmemory", was)


def test_inputs_alone_never_fill_the_store(
    serve: Serve, own_valkey: EmbeddedValkey, broker_url: str, bounded: Redis, worker_of: Any
) -> None:
    api = serve(store_url=own_valkey.url, broker_url=broker_url)
    until(lambda: api.post(RUNS).status_code == 202, "it serves")
    feed = json.dumps({"url": "https://example.org/" + "x" * 2000})
    accepted = []
    for _ in range(20_000):
        answer = api.post(RUNS, content=feed)
        if answer.status_code != 202:
            break
        accepted.append(answer.json()["run_id"])

    facts: Any = bounded.info("memory")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:mousetrap:problem:store-full")
    assert "80%" in answer.json()["detail"]
    assert facts["used_memory"] < 0.9 * facts["maxmemory"]
    worker_of(own_valkey.url).complete(accepted[-1], {"events": 1})  # those accepted can end
    assert api.get(f"/runs/{accepted[-1]}").json()["state"] == "completed"
    assert api.get("/health/ready").status_code == 200
