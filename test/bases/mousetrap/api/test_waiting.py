"""A run shows why it waits, with the evidence."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from redis import Redis

from mousetrap.job_queue import connect
from mousetrap.jobs import Failure, dead_queue
from mousetrap.run_store import RunStore, open_store
from mousetrap.worker.dead_letter import dead_letter
from mousetrap.worker_registry import open_registry
from support.heartbeats import a_heartbeat
from support.inbox import Inbox
from support.ports import closed_port
from support.processes import Process
from support.rabbitmq import OwnRabbitMQ
from support.stack import SIGNING_KEYS
from support.valkey import administrator
from support.waiting import until

pytestmark = pytest.mark.servers
Serve = Callable[..., httpx.Client]
Start = Callable[..., Process]
STALE = -16_000


@pytest.fixture
def api(serve: Serve, each_broker_url: str) -> httpx.Client:
    return serve(broker_url=each_broker_url, signing_keys=SIGNING_KEYS, metrics=True)


def submit(api: httpx.Client, pipeline: str, body: object, **options: str) -> str:
    answer = api.post(f"/pipelines/{pipeline}/runs", json=body, params=options)
    assert answer.status_code == 202, answer.text
    run_id: str = answer.json()["run_id"]
    return run_id


def order(how: str, mark: Path | None = None) -> dict[str, str]:
    return {"how": how, "mark": str(mark or ""), "region": "jp"}


def waiting(api: httpx.Client, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/runs/{run_id}/waiting").raise_for_status().json()
    return found


def until_shows(
    api: httpx.Client, run_id: str, condition: Callable[[dict[str, Any]], bool], what: str
) -> dict[str, Any]:
    """The first of the run's answers of which the condition is true."""
    seen: dict[str, Any] = {}

    def look() -> bool:
        seen.update(waiting(api, run_id))
        return condition(seen)

    until(look, what)
    return seen


def until_waits(api: httpx.Client, run_id: str, kind: str) -> dict[str, Any]:
    """What the run shows once its headline is of that kind."""
    return until_shows(api, run_id, lambda it: it["headline"]["kind"] == kind, f"it waits for: {kind}")


def evidence(seen: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = seen["headline"]["evidence"]
    return found


def kinds_beside(seen: dict[str, Any]) -> list[str]:
    return [each["kind"] for each in seen["also"]]


def test_no_worker_serves_its_queue_and_the_last_one_is_named(api: httpx.Client, store_url: str) -> None:
    run = submit(api, "earthquakes", {})

    never = until_waits(api, run, "worker")
    assert (never["waits"], never["state"]) == (True, "queued")
    assert "No worker serves start_fetch; none is listed" in never["headline"]["text"]
    assert (evidence(never)["workers"], evidence(never)["last_worker"]) == (0, None)
    assert never["headline"]["age_seconds"] >= 0
    assert "mousetrap worker" in never["headline"]["advice"]
    until(lambda: evidence(waiting(api, run))["ready"] == 1, "the broker counts it")

    asyncio.run(beat(store_url))
    with Redis.from_url(administrator(store_url)) as client:
        client.hincrby("mousetrap:worker:w1", "seen_ms", STALE)
    # A look at workers and queues is shared for a second.
    until(lambda: evidence(waiting(api, run))["last_worker"] == "w1", "the worker is seen")
    left = waiting(api, run)

    assert left["headline"]["kind"] == "worker"
    assert "the last one, w1, is stale" in left["headline"]["text"]
    assert evidence(left)["last_worker"] == "w1"
    assert time.time() * 1000 - evidence(left)["last_seen_ms"] >= 15_000


async def beat(url: str) -> None:
    async with open_registry(url) as registry:
        await registry.beat(a_heartbeat())


def test_all_slots_are_busy_and_a_run_that_has_one_does_not_wait(
    api: httpx.Client, start_waiting: Start, tmp_path: Path
) -> None:
    start_waiting()
    holder = submit(api, "single", order("hold", tmp_path / "mark"))
    # Its worker may have begun the job before its next beat.
    runs = until_shows(
        api,
        holder,
        lambda it: evidence(it).get("worker_state") == "serving",
        "its worker is listed as serving",
    )
    assert (runs["headline"]["kind"], runs["waits"], runs["state"]) == ("running", False, "running")
    run = submit(api, "single", order("done"))

    seen = until_waits(api, run, "slot")
    until(lambda: evidence(waiting(api, run))["ready"] == 1, "the broker counts it")

    assert (evidence(seen)["busy"], evidence(seen)["slots"], evidence(seen)["workers"]) == (1, 1, 1)
    assert evidence(seen).keys() >= {"ready", "oldest_seconds", "estimate_seconds", "out_per_minute"}
    (tmp_path / "mark").touch()
    ended = until_waits(api, run, "ended")
    assert (ended["waits"], ended["state"]) == (False, "completed")
    assert "It does not wait: it completed" in ended["headline"]["text"]


@pytest.mark.parametrize(
    ("how", "kind", "error", "words"),
    [
        ("fail", "retry", "Feed", "Attempt 2 of 5 of do begins at"),
        ("asked", "retry", "TryAgain", "as the handler asked"),
        ("outage", "outage", "Outage", "waits for an outage to end"),
    ],
)
def test_it_is_delayed_until_its_next_attempt(
    api: httpx.Client, start_waiting: Start, how: str, kind: str, error: str, words: str
) -> None:
    start_waiting()
    run = submit(api, "single", order(how))

    seen = until_waits(api, run, kind)

    assert words in seen["headline"]["text"]
    # The first look may have read the run's timeline just before, and the job's record just after the attempt.
    kind_of_error = until(lambda: evidence(waiting(api, run))["error_kind"], "the error is known")
    assert kind_of_error.endswith(error)
    assert evidence(seen)["attempts"] == 5
    # The look at the workers that all share for a second may be from before its start.
    until(lambda: not waiting(api, run)["also"], "nothing else is in its way")
    due_ms = until(lambda: evidence(waiting(api, run))["due_ms"], "its next attempt is noted")
    assert due_ms > time.time() * 1000


def test_it_begins_when_its_submitter_has_it_begin(api: httpx.Client) -> None:
    run = submit(api, "earthquakes", {}, delay="3600")

    seen = waiting(api, run)

    assert seen["headline"]["kind"] == "due"
    assert evidence(seen)["due_ms"] > time.time() * 1000 + 3_000_000
    assert kinds_beside(seen) == ["worker"]  # which it will meet then


def test_a_lock_is_held_by_another_run(api: httpx.Client, start_waiting: Start, tmp_path: Path) -> None:
    start_waiting(MOUSETRAP_CONCURRENCY="2", MOUSETRAP_PREFETCH="2")
    holder = submit(api, "locked", order("hold", tmp_path / "mark"))
    until_waits(api, holder, "running")
    run, other = submit(api, "locked", order("done")), submit(api, "locked", {"region": "de"})

    seen = until_waits(api, run, "lock")

    # The store has a hash of the value.
    assert (evidence(seen)["lock"], evidence(seen)["holder_run"]) == ('feed (region "jp")', holder)
    until_waits(api, other, "ended")
    assert evidence(seen)["holder_worker"]
    assert evidence(seen)["held_since_ms"] <= time.time() * 1000 + 1000
    assert evidence(seen)["held_until_ms"] > evidence(seen)["held_since_ms"]
    assert seen["headline"]["advice"] == f"mousetrap show {holder}"
    (tmp_path / "mark").touch()
    until_waits(api, run, "ended")


def test_a_limit_has_no_room_and_shows_who_holds_it(
    api: httpx.Client, start_waiting: Start, tmp_path: Path
) -> None:
    start_waiting(MOUSETRAP_CONCURRENCY="2", MOUSETRAP_PREFETCH="2")
    holder = submit(api, "limited", order("hold", tmp_path / "mark"))
    until_waits(api, holder, "running")
    run, other = submit(api, "limited", order("done")), submit(api, "limited", {"region": "de"})

    seen = until_waits(api, run, "limit")
    until_waits(api, other, "ended")

    assert f"take waits for one of 1 places of region=jp, held by {holder} since" in seen["headline"]["text"]
    (held,) = evidence(seen)["holders"]
    assert (held["run_id"], evidence(seen)["most"], evidence(seen)["running"]) == (holder, 1, 1)
    assert held["worker"] and held["until_ms"] > held["since_ms"]
    until(lambda: limits(api)[0]["waiting"] == 1, "it is in the line")
    places, rate = limits(api, pipeline="limited")
    (key,) = places["keys"]
    assert (places["stage"], places["most"], places["per"], places["every"]) == (
        "limited.take",
        1,
        "region",
        None,
    )
    assert (key["of"], key["running"], key["waiting"]) == ("region=jp", 1, 1)
    assert [it["run_id"] for it in key["holders"]] == [holder]
    assert (rate["most"], rate["every"], [it["running"] for it in rate["keys"]]) == (1000, "second", [0])
    assert limits(api, pipeline="single") == []
    until(
        lambda: 'mousetrap_limited_jobs{queue="waiting_take"} 1.0' in api.get("/metrics").text,
        "it is counted",
    )
    (tmp_path / "mark").touch()
    until_waits(api, run, "ended")
    until(lambda: limits(api)[0]["waiting"] == 0, "nothing is in the line")


def limits(api: httpx.Client, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/limits", params=query).raise_for_status().json()
    return found


def test_it_waits_for_the_jobs_that_it_opened(
    api: httpx.Client, start_waiting: Start, tmp_path: Path
) -> None:
    start_waiting(MOUSETRAP_CONCURRENCY="3", MOUSETRAP_PREFETCH="3")
    run = submit(api, "fanned", order("hold", tmp_path / "mark"))

    seen = until_shows(
        api,
        run,
        lambda it: evidence(it).get("total") == 2 and evidence(it)["done"] == 1,
        "one of both is done",
    )

    assert (seen["headline"]["kind"], evidence(seen)["failed"]) == ("children", 0)
    assert "It waits for the jobs that find opened: 1 of 2 done." in seen["headline"]["text"]
    (tmp_path / "mark").touch()
    until_waits(api, run, "ended")


def test_what_its_jobs_wait_for_comes_before_the_count_of_them(
    api: httpx.Client, start_waiting: Start
) -> None:
    start_waiting(MOUSETRAP_CONCURRENCY="3", MOUSETRAP_PREFETCH="3")
    run = submit(api, "fanned", order("fail"))

    until_waits(api, run, "retry")
    # The other child may still be in the queue.
    seen = until_shows(api, run, lambda it: kinds_beside(it) == ["children"], "the other one is done")

    assert (seen["headline"]["kind"], evidence(seen)["stage"]) == ("retry", "read")


def test_its_worker_is_silent_and_another_is_to_take_it_over(
    api: httpx.Client, start_waiting: Start, store_url: str, tmp_path: Path
) -> None:
    worker = start_waiting()
    run = submit(api, "single", order("hold", tmp_path / "mark"))
    name = evidence(until_waits(api, run, "running"))["worker"]

    worker.send(signal.SIGKILL)
    worker.wait()
    with Redis.from_url(administrator(store_url)) as client:
        client.hincrby(f"mousetrap:worker:{name}", "seen_ms", STALE)
    seen = until_waits(api, run, "takeover")

    assert (evidence(seen)["worker"], evidence(seen)["worker_state"]) == (name, "stale")
    assert evidence(seen)["lease_until_ms"] > evidence(seen)["taken_ms"]
    start_waiting()
    assert evidence(until_waits(api, run, "running"))["worker"] != name


def test_its_message_was_put_aside(
    api: httpx.Client, each_broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.api.put_aside._LONG_WAIT_S", 0.0)
    run = submit(api, "earthquakes", {})
    asyncio.run(put_aside(each_broker_url))

    seen = until_waits(api, run, "put-aside")

    assert (evidence(seen)["queue"], evidence(seen)["reason"]) == ("start_fetch", "signature")
    assert "mousetrap dead show" in seen["headline"]["advice"]
    assert kinds_beside(seen) == ["worker"]


async def put_aside(url: str) -> None:
    """As a worker does with a message that it cannot verify."""
    async with connect(url, ["start_fetch"], name="test") as queue:
        inbox = Inbox()
        await queue.consume("start_fetch", 1, inbox)
        delivery = await inbox.take()
        why = Failure(kind="Refused", text="no")
        letter = dead_letter(
            delivery.message, "start_fetch", "signature", why, job=None, worker="w1", now_ms=1
        )
        await queue.publish(dead_queue("start_fetch"), letter)
        delivery.acknowledge()


def test_it_is_recorded_and_not_yet_published(
    api: httpx.Client, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.waiting.reasons._UNPUBLISHED_S", -1.0)
    run = uuid4().hex
    asyncio.run(record(store_url, run))

    seen = waiting(api, run)

    assert seen["headline"]["kind"] == "publish"
    assert evidence(seen)["recorded_ms"] <= time.time() * 1000 + 1000
    assert kinds_beside(seen) == ["worker"]


async def record(url: str, run_id: str, *, published: bool = False, pipeline: str = "earthquakes") -> None:
    """As a submitter that dies before it has published, or one whose message was lost outside."""
    stage = "fetch" if pipeline == "earthquakes" else "do"
    async with open_store(url, retention=600) as store:
        await store.open_run(run_id, pipeline, stage, b"{}")
        if published:
            store.mark_published(run_id)


def test_workers_have_room_and_the_job_is_not_begun(
    api: httpx.Client, start_waiting: Start, store_url: str
) -> None:
    start_waiting()
    submit(api, "single", order("done"))
    run = uuid4().hex
    asyncio.run(record(store_url, run, published=True, pipeline="single"))

    until_waits(api, run, "queue")
    # The shared look may be from the time before the worker, or when the other run waited there.
    seen = until_shows(
        api,
        run,
        lambda it: [evidence(it).get(name) for name in ("slots", "ready", "busy")] == [1, 0, 0],
        "the other run is done",
    )

    assert seen["headline"]["kind"] == "queue"


def test_a_broker_that_is_away_is_the_headline_and_costs_nothing_else(
    serve: Serve, start_api: Callable[..., tuple[Process, httpx.Client]], store_url: str, each_broker_url: str
) -> None:
    kind = "amqp://guest:guest" if each_broker_url.startswith("amqp") else "valkey://x:y"
    port = closed_port()
    run = submit(serve(broker_url=store_url), "earthquakes", {}, delay="3600")
    _, api = start_api(ready=False, MOUSETRAP_BROKER_URL=f"{kind}@127.0.0.1:{port}/0")

    seen = waiting(api, run)

    assert seen["headline"]["kind"] == "broker"
    assert f"127.0.0.1:{port}" in seen["headline"]["text"]
    assert seen["headline"]["advice"] == "mousetrap doctor"
    assert kinds_beside(seen) == ["due", "worker"]


def test_a_broker_short_of_memory_is_named(serve: Serve, own_rabbitmq: OwnRabbitMQ) -> None:
    api = serve(broker_url=own_rabbitmq.url, metrics=True)
    run = submit(api, "earthquakes", {})
    assert "mousetrap_broker_blocked 0.0" in api.get("/metrics").text
    own_rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0")
    try:
        # The broker blocks a publisher with its next message.
        api.post("/pipelines/earthquakes/runs", json={})

        # The first answers may be that the broker did not answer in time.
        until_shows(
            api, run, lambda it: "memory or disk" in evidence(it).get("broker", ""), "memory is named"
        )
        # A look counts for five seconds.
        until(lambda: "mousetrap_broker_blocked 1.0" in api.get("/metrics").text, "so do the metrics")
    finally:
        own_rabbitmq.rabbitmqctl("set_vm_memory_high_watermark", "0.4")
    until_waits(api, run, "worker")


@pytest.mark.parametrize(
    ("change", "state", "kind"),
    [(("begin",), "running", "takeover"), (("complete", {}), "completed", "ended")],
    ids=["begins", "ends"],
)
def test_a_run_that_changes_between_two_reads_is_shown_as_it_is_after_that(
    serve: Serve, worker: Any, monkeypatch: pytest.MonkeyPatch, change: tuple[Any, ...], state: str, kind: str
) -> None:
    api = serve()
    run = submit(api, "earthquakes", {})
    read_jobs, changes = RunStore.jobs, iter([change])

    async def change_first(*arguments: Any) -> Any:
        for act, *more in changes:
            await asyncio.to_thread(getattr(worker, act), run, *more)
        return await read_jobs(*arguments)

    monkeypatch.setattr(RunStore, "jobs", change_first)
    seen = waiting(api, run)

    # The worker that began it sends no heartbeat.
    assert (seen["state"], seen["headline"]["kind"]) == (state, kind)


def test_without_the_store_nothing_is_known_and_an_unknown_run_is_refused(serve: Serve) -> None:
    away = serve(store_url=f"valkey://127.0.0.1:{closed_port()}/0").get("/runs/abc/waiting")
    unknown = serve().get("/runs/abc/waiting")

    assert (away.status_code, away.json()["away"]) == (503, ["store"])
    assert "127.0.0.1" in away.json()["detail"]
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:mousetrap:problem:unknown-run")
