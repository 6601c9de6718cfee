"""A waiting run shows the dead letter that has its message."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from redis import Redis

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.job_queue import connect
from mousetrap.jobs import Failure, Message, dead_queue, decode, encode, first_job
from mousetrap.run_store.keys import packed_run_key, run_key
from mousetrap.worker.dead_letter import dead_letter
from support.inbox import Inbox
from support.valkey import administrator

RUNS = "/pipelines/earthquakes/runs"
QUEUE = "start_fetch"
KEYS = "k1:sixteen-characters"

pytestmark = pytest.mark.usefixtures("kind_of_runs")


@pytest.fixture(autouse=True)
def accepted_just_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run stays one that was accepted just now, however long a busy machine takes for a look."""
    monkeypatch.setattr("mousetrap.api.put_aside._LONG_WAIT_S", 300.0)


def put_aside(url: str, reason: str | None, body: bytes | None = None) -> None:
    """Moves the one message of the queue to its dead queue: as a worker that refuses it, or as a broker's policy does."""

    async def story() -> None:
        async with connect(url, [QUEUE], name="test") as queue:
            inbox = Inbox()
            await queue.consume(QUEUE, 1, inbox)
            delivery = await inbox.take()
            message = delivery.message if body is None else Message(delivery.message.id, body, {})
            if reason:
                why = Failure(kind="Refused", text="no")
                message = dead_letter(message, QUEUE, reason, why, job=None, worker="w1", now_ms=1)
            await queue.publish(dead_queue(QUEUE), message)
            delivery.acknowledge()

    asyncio.run(story())


def wait_for_long(store_url: str, run_id: str) -> None:
    """Lets the run be one that last changed long ago."""
    with Redis.from_url(administrator(store_url)) as client:
        record: Any = client.get(packed_run_key(run_id))
        if record is None:
            client.hset(run_key(run_id), "updated_ms", 1)
        else:
            facts, _, input = record[1:].partition(b"\n")
            old = {**msgspec.json.decode(facts), "accepted_ms": 1}
            client.set(packed_run_key(run_id), record[:1] + msgspec.json.encode(old) + b"\n" + input)


@pytest.mark.parametrize("reason", [None, "signature", "undecodable"])
def test_a_run_whose_message_was_put_aside_shows_where_it_is(
    serve: Callable[..., httpx.Client], queue_url: str, store_url: str, reason: str | None
) -> None:
    api = serve(broker_url=queue_url, signing_keys=KEYS)
    run_id = api.post(RUNS).json()["run_id"]
    put_aside(queue_url, reason)
    fresh = api.get(f"/runs/{run_id}").json()
    wait_for_long(store_url, run_id)

    run = api.get(f"/runs/{run_id}").json()

    assert fresh["letter"] is None  # a run accepted just now is not looked for
    assert (run["state"], run["letter"]["queue"], run["letter"]["believed"]) == ("queued", QUEUE, True)
    assert run["letter"]["reason"] == (reason or "unknown")
    assert api.get(f"/dead/{QUEUE}/{run['letter']['id']}").json()["run_id"] == run_id


def test_what_is_not_signed_is_a_hint_and_changes_nothing(
    serve: Callable[..., httpx.Client], queue_url: str, store_url: str
) -> None:
    api = serve(broker_url=queue_url, signing_keys=KEYS)
    run_id = api.post(RUNS).json()["run_id"]
    forged = first_job(run_id=run_id, pipeline="earthquakes", stage="fetch", payload=b"{}", accepted_ms=1)
    put_aside(queue_url, "signature", encode(forged))
    wait_for_long(store_url, run_id)

    run = api.get(f"/runs/{run_id}").json()

    assert decode(encode(forged)).run_id == run_id
    assert (run["state"], run["letter"]["believed"]) == ("queued", False)


def test_a_run_that_waits_in_its_queue_has_no_letter(
    serve: Callable[..., httpx.Client], queue_url: str, store_url: str
) -> None:
    api = serve(broker_url=queue_url)
    run_id = api.post(RUNS).json()["run_id"]
    wait_for_long(store_url, run_id)

    found: Any = api.get(f"/runs/{run_id}").json()

    assert (found["state"], found["letter"]) == ("queued", None)


def test_only_the_queues_of_the_run_s_pipeline_are_looked_at(
    serve: Callable[..., httpx.Client], queue_url: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str | None] = []
    look = DeadLetters.look

    async def noted(self: DeadLetters, selection: Selection, **more: Any) -> Any:
        looked.append(selection.queue)
        return await look(self, selection, **more)

    monkeypatch.setattr(DeadLetters, "look", noted)
    api = serve(broker_url=queue_url)
    run_id = api.post(RUNS).json()["run_id"]
    wait_for_long(store_url, run_id)

    api.get(f"/runs/{run_id}")

    assert looked == [QUEUE, "data_processing"]
