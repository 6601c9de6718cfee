"""Damaged data in the store is shown as such, alone."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis import Redis

from mousetrap.jobs import first_job
from mousetrap.run_store.keys import (
    events_key,
    packed_events_key,
    packed_job_key,
    packed_progress_key,
    packed_run_key,
    run_key,
)
from mousetrap.shapes import Beat
from mousetrap.worker_registry import open_registry
from support.valkey import administrator

RUNS = "/pipelines/earthquakes/runs"
FEED = {"url": "https://example.org/feed.geojson"}

#: What no function of ours writes, of each sort that a reader could stumble over.
BROKEN_VALUES = [
    b"",
    b"\xff\xfe",
    b"{",
    b"NaN",
    b"1e999",
    b"-1",
    b"9" * 40,
    b"[" * 300 + b"]" * 300,
    b"[" * 5000 + b"]" * 5000,
    b'"\\ud800"',
    b"null",
    b"true",
    b'{"stage":"fetch","done":null}',
    b'{"stage":"fetch","done":NaN}',
    b'{"stage":"fetch","done":1e999}',
    b'{"stage":"fetch","done":1' + b"0" * 400 + b"}",
    b'{"kind":1}',
    b"no-such-state",
    b"\x1b[2J",
]
FIELDS = [
    *("pipeline", "state", "stage", "first", "input", "result", "failure", "progress", "accepted_ms"),
    *("updated_ms", "finished_ms", "expires_ms", "rerun_of"),
]
#: Those of a packed run's record.
FACTS = [
    *("pipeline", "stage", "accepted_ms", "expires_ms", "due_ms", "digest", "rerun_of", "tags", "signature"),
    "priority",
    *("input_reference", "restored", "submitters", "finished_ms", "failure"),
]
broken = st.one_of(st.sampled_from(BROKEN_VALUES), st.binary(max_size=20))
property_of_the_store = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def store(store_url: str) -> Iterator[Redis]:
    """Damage that a client with the store's password can do."""
    with Redis.from_url(administrator(store_url)) as client:
        yield client


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """New runs are of the older family."""
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 2)


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """New runs have packed records."""
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)


def started(api: httpx.Client) -> str:
    run_id: str = api.post(RUNS, json=FEED).json()["run_id"]
    return run_id


def listed(api: httpx.Client) -> dict[str, Any]:
    answer = api.get("/runs", params={"limit": 200})
    assert answer.status_code == 200, answer.text
    return {run["id"]: run for run in answer.json()["runs"]}


@pytest.mark.usefixtures("hashes")
@property_of_the_store
@given(
    values=st.dictionaries(st.sampled_from(FIELDS), broken),
    missing=st.sets(st.sampled_from(FIELDS), max_size=5),
)
def test_a_damaged_run_fails_no_list_and_no_page(
    api: httpx.Client, store: Redis, values: dict[str, bytes], missing: set[str]
) -> None:
    good, bad = started(api), started(api)
    for name, value in values.items():
        store.hset(run_key(bad), name, value)
    if missing:
        store.hdel(run_key(bad), *missing)

    check_shown(api, good, bad)
    store.delete(run_key(good), run_key(bad))


@pytest.mark.usefixtures("packed")
@property_of_the_store
@given(
    state=st.sampled_from([b"Q", b"C", b"F", b"X", b"", b"q", b"\xff"]),
    values=st.dictionaries(st.sampled_from(FACTS), broken),
    missing=st.sets(st.sampled_from(FACTS), max_size=5),
    rest=st.one_of(st.sampled_from([b"\n{}", b"", b"\n"]), broken),
)
def test_a_damaged_packed_run_fails_no_list_and_no_page(
    api: httpx.Client, store: Redis, state: bytes, values: dict[str, bytes], missing: set[str], rest: bytes
) -> None:
    good, bad = started(api), started(api)
    record: Any = store.get(packed_run_key(bad))
    facts: dict[str, Any] = msgspec.json.decode(record[1:].partition(b"\n")[0])
    kept = {name: msgspec.json.encode(value) for name, value in facts.items() if name not in missing}
    written = b",".join(b'"%b":%b' % (name.encode(), value) for name, value in {**kept, **values}.items())
    store.set(packed_run_key(bad), b"%b{%b}%b" % (state, written, rest))

    check_shown(api, good, bad)
    store.delete(packed_run_key(good), packed_run_key(bad))


def check_shown(api: httpx.Client, good: str, bad: str) -> None:
    """Both are listed, the good one as it is, and the bad one has a page."""
    runs = listed(api)
    assert runs[good]["state"] == "queued" and runs[good]["unreadable"] == []
    assert bad in runs
    shown = api.get(f"/runs/{bad}")
    assert shown.status_code == 200
    assert shown.json()["id"] == bad


@property_of_the_store
@given(
    values=st.dictionaries(
        st.sampled_from(["kind", "stage", "attempt", "worker", "data", "x"]), broken, min_size=1
    )
)
@example(values={"kind": b"a\r"})
@example(values={"kind": b"a\nevent: cancelled"})
def test_a_damaged_event_spoils_neither_its_run_nor_the_events_after_it(
    api: httpx.Client, store: Redis, kind_of_runs: int, values: dict[str, bytes]
) -> None:
    run_id = started(api)
    nothing: dict[Any, Any] = {"stage": "", "job": "", "attempt": 0, "worker": "", "data": ""}
    events = events_key(run_id)
    if kind_of_runs == 5:
        events = packed_events_key(run_id)
        store.xadd(
            events, {"kind": "accepted", **nothing}
        )  # what is unusual is written after all that is usual
    store.xadd(events, dict(values.items()))
    store.xadd(events, {"kind": "cancelled", **nothing})

    timeline = api.get(f"/runs/{run_id}").json()["timeline"]
    with api.stream("GET", f"/runs/{run_id}/events") as stream:
        lines = [line for line in stream.iter_lines() if line.startswith("event:")]

    assert [event["kind"] for event in timeline[::2]] == ["accepted", "cancelled"]
    assert len(timeline) == len(lines) == 3


def test_progress_that_is_no_number_is_reported_as_unreadable(
    api: httpx.Client, store: Redis, kind_of_runs: int
) -> None:
    run_id = started(api)
    key = packed_progress_key if kind_of_runs == 5 else run_key
    store.hset(key(run_id), "progress", b'{"stage":"fetch","done":null}')

    (line,) = (listed(api)[run_id]["unreadable"], api.get(f"/runs/{run_id}").json()["unreadable"])[:1]

    assert len(line) == 1 and line[0].startswith("progress: ") and "$.done" in line[0]


@pytest.mark.parametrize("keys", [(run_key, packed_run_key), (events_key, packed_events_key)])
def test_a_key_of_another_type_is_reported_as_unreadable(
    api: httpx.Client, store: Redis, kind_of_runs: int, keys: tuple[Callable[[str], str], ...]
) -> None:
    good, bad = started(api), started(api)
    key = keys[kind_of_runs == 5](bad)
    store.delete(key)
    store.rpush(key, "something else")

    runs = listed(api)
    shown = api.get(f"/runs/{bad}").json()

    assert runs[good]["state"] == "queued"
    assert bad in runs
    assert any("WRONGTYPE" in what for what in shown["unreadable"])


def test_a_damaged_index_hides_no_other_run(api: httpx.Client, store: Redis) -> None:
    run_id = started(api)
    keys: Any = store.keys("mousetrap:runs:*")
    (index,) = [key.decode() for key in keys if key.count(b":") == 2]
    for member in (b"\xff", b"zzz", b"", b"1700000000000", b"1700000000000:\x1b[2J", b"12:x"):
        store.zadd(index, {member: 0})
    before = int(index.rpartition(":")[2]) - 1
    store.set(f"mousetrap:runs:{before}", "something else")

    assert set(listed(api)) == {run_id}


def beat_of(store_url: str, name: str) -> None:
    async def story() -> None:
        async with open_registry(store_url) as registry:
            await registry.beat(
                Beat(
                    name=name, host="h", pid=1, version="1", stages=("s",), queues=("q",), concurrency=1,
                    state="serving", done=0, failed=0, running=0, doing=(),
                )
            )  # fmt: skip

    asyncio.run(story())


@property_of_the_store
@given(
    values=st.dictionaries(st.sampled_from(["beat", "started_ms", "seen_ms"]), broken),
    missing=st.sets(st.sampled_from(["beat", "started_ms", "seen_ms"])),
)
def test_a_damaged_beat_hides_no_other_worker(
    api: httpx.Client, store: Redis, store_url: str, values: dict[str, bytes], missing: set[str]
) -> None:
    name = f"bad-{uuid4().hex}"
    beat_of(store_url, "good")
    beat_of(store_url, name)
    for field, value in values.items():
        store.hset(f"mousetrap:worker:{name}", field, value)
    if missing:
        store.hdel(f"mousetrap:worker:{name}", *missing)

    answer = api.get("/workers")

    assert answer.status_code == 200
    assert "good" in {worker["name"] for worker in answer.json()}
    store.delete(f"mousetrap:worker:{name}")


def test_a_worker_s_key_of_another_type_hides_no_other_worker(
    api: httpx.Client, store: Redis, store_url: str
) -> None:
    beat_of(store_url, "good")
    store.set("mousetrap:worker:bad", "something else")
    store.zadd("mousetrap:workers", {"bad": 1})
    store.zadd("mousetrap:workers", {b"\xff\xfe": 1})

    assert [worker["name"] for worker in api.get("/workers").json()] == ["good"]


@pytest.mark.parametrize("value", [b"", b"never", b"\xff", b"1e999", b"-5"])
def test_a_wrong_value_in_place_of_a_queue_s_age_fails_no_look(
    api: httpx.Client, store: Redis, value: bytes
) -> None:
    store.set("mousetrap:waiting:start_fetch", value)

    assert api.get("/queues/start_fetch").json()["oldest_seconds"] >= 0
    store.delete("mousetrap:waiting:start_fetch")
    store.hset("mousetrap:waiting:start_fetch", "a", "b")
    assert api.get("/queues/start_fetch").status_code == 200


@pytest.mark.parametrize("key", ["later", "ready", "minute"])
def test_a_key_of_another_type_hides_no_queue(api: httpx.Client, store: Redis, key: str) -> None:
    hours = range(int(time.time()) // 3600 - 1, int(time.time()) // 3600 + 2)
    names = {
        "later": ["later:start_fetch"],
        "ready": [f"ready:start_fetch:{hour}" for hour in hours],
        "minute": [f"minute:earthquakes.fetch:{hour}" for hour in hours],
    }
    for name in names[key]:
        store.set(f"mousetrap:{name}", "something else")

    assert "start_fetch" in {queue["name"] for queue in api.get("/queues").raise_for_status().json()}
    for path in ("/queues/start_fetch", "/queues/start_fetch/minutes", "/cluster"):
        assert api.get(path).status_code == 200


@pytest.mark.parametrize(
    "facts",
    [
        b'{"stage":"fetch","due_ms":99999999999999999999}',
        b'{"stage":"fetch","due_ms":-7,"claimed_ms":-1e300}',
        b'{"stage":"fetch","needs":"region","waiting_ms":999999999999999999}',
        b"no json",
    ],
)
@pytest.mark.parametrize("state", [b"R", b"T", b"O", b"W"])
def test_a_damaged_record_of_a_job_fails_no_answer_to_why_its_run_waits(
    api: httpx.Client, store: Redis, state: bytes, facts: bytes
) -> None:
    run_id = api.post("/pipelines/earthquakes/runs", json={}).json()["run_id"]
    store.set("mousetrap:lock:region", "something else")
    job = first_job(run_id=run_id, pipeline="earthquakes", stage="fetch", payload=b"{}", accepted_ms=0)
    store.set(packed_job_key(run_id, job.id), state + b"00000001" + facts + b"\n")

    answer = api.get(f"/runs/{run_id}/waiting")

    assert answer.status_code == 200
    assert answer.json()["headline"]["text"]


@property_of_the_store
@given(body=broken, headers=broken, name=broken)
def test_nothing_among_the_dead_letters_fails_a_list_of_them(
    serve: Callable[..., httpx.Client],
    api: httpx.Client,
    store: Redis,
    body: bytes,
    headers: bytes,
    name: bytes,
) -> None:
    api.get("/dead")
    fields = {"id": name, "body": body, "headers": headers}
    entry = store.xadd("mousetrap:queue:start_fetch.dead", dict(fields.items()))

    answer = api.get("/dead")

    assert answer.status_code == 200
    for letter in answer.json()["letters"]:
        assert api.get(f"/dead/{letter['queue']}/{letter['id']}").status_code == 200
    store.xdel("mousetrap:queue:start_fetch.dead", entry)
