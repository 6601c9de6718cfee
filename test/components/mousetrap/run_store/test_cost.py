"""Tests the cost of a run: connections, and bytes of a failure."""

import asyncio
from typing import Any

import pytest
from redis import Redis

from mousetrap.jobs import Failure, GiveUp, RetryLater, first_job
from mousetrap.run_store import Granted, RunStore, open_store
from support.valkey import administrator

TRACEBACK = "".join(f'  File "handlers.py", line {line}, in fail\n' for line in range(180))


async def test_many_readers_share_a_few_connections(store_url: str) -> None:
    with Redis.from_url(administrator(store_url)) as client:
        connections: Any = client.client_list
        before = len(connections())
        async with open_store(store_url, retention=600) as store:
            await store.open_run("r1", "sums", "add", b"1")

            found = await asyncio.gather(*(store.get("r1") for _ in range(500)))

            assert all(found)
            assert len(connections()) - before <= 4


async def failed(store: RunStore, run_id: str) -> None:
    """Fails twice, each time with a traceback of its own, and is given up."""
    opened = await store.open_run(run_id, "sums", "add", b"1")
    job = first_job(run_id=run_id, pipeline="sums", stage="add", payload=b"1", accepted_ms=opened.accepted_ms)
    for last in (False, True):
        failure = Failure(kind="Broken", text="no", traceback=f"{TRACEBACK}attempt {job.attempt}")
        outcome = GiveUp("max-retries", failure) if last else RetryLater(0.0, failure)
        claim = await store.claim(job, worker="w1", redelivered=False, lease=60)
        assert isinstance(claim, Granted)
        assert await store.decide(job, outcome, fence=claim.fence, worker="w1", last=False) == "recorded"
        job = job.again()


@pytest.mark.usefixtures("both_families")
async def test_each_traceback_is_kept_once_and_shown_with_its_run(store_url: str) -> None:
    found: list[Any] = []
    async with open_store(store_url, retention=600) as store:
        await failed(store, "r1")
        found.extend([await store.get("r1"), (await store.page()).runs[0]])

    run, line = found

    with Redis.from_url(administrator(store_url)) as client:
        keys: Any = client.keys()
        hashes: Any = [client.hgetall(key) for key in keys if client.type(key) == b"hash"]
        streams: Any = [client.xrange(key) for key in keys if client.type(key) == b"stream"]
        strings: Any = [client.get(key) for key in keys if client.type(key) == b"string"]
        everything = f"{hashes}{streams}{strings}"
        size = sum(client.memory_usage(key) or 0 for key in keys)
    assert everything.count("attempt 1") == everything.count("attempt 2") == 1
    # Two tracebacks, and what a stream takes beside them; four copies were 28,000 and more.
    assert size < 24_000
    assert [
        event.failure.traceback[-9:] for event in run.timeline if event.failure and event.failure.traceback
    ] == [
        "attempt 1",
        "attempt 2",
    ]
    assert run.failure.traceback.endswith("attempt 2")
    assert (line.failure.text, line.failure.traceback) == ("no", "")
