"""A job with a damaged record is buried, and delays no other."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytest
from redis.asyncio import Redis

from mousetrap.jobs import Job, encode, first_job, signed_message
from mousetrap.run_store.keys import packed_job_key, packed_run_key
from mousetrap.shapes import RunState
from support.workbench import KEYRING, Workbench, add, double, just_now_ms

pytestmark = pytest.mark.own_queues


def a_job(bench: Workbench, v: Literal[2, 5] = 2) -> Job:
    return first_job(
        run_id="r1", pipeline=bench.pipeline.name, stage="add", payload=b"1", accepted_ms=just_now_ms(), v=v
    )


async def damage(store_url: str, job: Job, how: str) -> str:
    """What somebody with the store's password writes there; gives the key."""
    key = f"mousetrap:{'run:r1' if how.startswith('run') else f'job:{job.id}'}" + ":events" * (
        how == "run-events"
    )
    fields: dict[str, Mapping[Any, Any]] = {
        "fence": {"state": "running", "fence": "many"},
        "no-lease": {"state": "running", "attempt": 1, "worker": "w", "starts": 1},
        "generation": {"state": "running", "generation": "x"},
        "no-verdict": {"state": "retrying", "attempt": 2},
        "no-text": {"state": "done", "verdict": b"\xff"},
        "outage": {"state": "outage", "attempt": 1, "starts": 1},
    }
    async with Redis.from_url(store_url.replace("valkey", "redis", 1)) as client:
        await client.delete(key)
        if how in fields:
            await client.hset(key, mapping=fields[how])
        elif how == "list":
            await client.lpush(key, "no hash")
        else:
            await client.set(key, "no hash")
    return key


async def delete(store_url: str, key: str) -> None:
    async with Redis.from_url(store_url.replace("valkey", "redis", 1)) as client:
        await client.delete(key)


HOWS = [
    "text",
    "list",
    "run",
    "run-events",
    "fence",
    "no-lease",
    "generation",
    "no-verdict",
    "no-text",
    "outage",
]


@pytest.mark.parametrize("how", HOWS)
async def test_a_job_whose_record_is_damaged_is_buried_with_its_story_and_done_once_that_is_deleted(
    bench: Workbench, store_url: str, how: str
) -> None:
    job = a_job(bench)
    key = await damage(store_url, job, how)
    async with bench.working(bench.bind("add", add), bench.bind("double", double), concurrency=1):
        await bench.queue.publish(bench.queue_of("add"), signed_message(job, KEYRING))
        letter = await bench.dead_letter("add")
        neighbour = await bench.ended(await bench.submit(b"7"))

    assert letter.headers["mousetrap-reason"] == "store-damaged"
    assert letter.headers["mousetrap-run"] == "r1"
    assert key.removesuffix(":events") in letter.headers["mousetrap-error"]  # it is to be deleted
    assert letter.body == encode(job)
    assert neighbour.state is RunState.COMPLETED

    await delete(store_url, key)
    if key.endswith(job.id):  # else the job is claimed already, until its lease is over
        async with bench.working(bench.bind("add", add), bench.bind("double", double)):
            await bench.queue.publish(bench.queue_of("add"), signed_message(job, KEYRING))
            assert (await bench.ended("r1")).result == 4


@pytest.mark.parametrize("key", [packed_run_key, packed_job_key])
async def test_a_packed_job_whose_record_is_damaged_is_buried_and_done_once_that_is_deleted(
    bench: Workbench, store_url: str, key: Callable[..., str]
) -> None:
    job = a_job(bench, v=5)
    damaged = key("r1", job.id) if key is packed_job_key else key("r1")
    async with Redis.from_url(store_url.replace("valkey", "redis", 1)) as client:
        await client.set(damaged, "no record")
    async with bench.working(bench.bind("add", add), bench.bind("double", double), concurrency=1):
        await bench.queue.publish(bench.queue_of("add"), signed_message(job, KEYRING))
        letter = await bench.dead_letter("add")
        neighbour = await bench.ended(await bench.submit(b"7"))

    assert letter.headers["mousetrap-reason"] == "store-damaged"
    assert damaged in letter.headers["mousetrap-error"]  # it is to be deleted
    assert neighbour.state is RunState.COMPLETED

    if key is packed_job_key:  # else the job is claimed already, until its lease is over
        await delete(store_url, damaged)
        async with bench.working(bench.bind("add", add), bench.bind("double", double)):
            await bench.queue.publish(bench.queue_of("add"), signed_message(job, KEYRING))
            assert (await bench.ended("r1")).result == 4


async def test_a_record_that_is_damaged_while_its_handler_works_costs_no_runner(
    bench: Workbench, store_url: str
) -> None:
    job = a_job(bench)

    async def spoil(number: int) -> int:
        if number == 1:
            await damage(store_url, job, "text")
        return number

    async with bench.working(bench.bind("add", spoil), bench.bind("double", double), concurrency=1):
        await bench.queue.publish(bench.queue_of("add"), signed_message(job, KEYRING))
        letter = await bench.dead_letter("add")
        neighbour = await bench.ended(await bench.submit(b"7"))

    assert letter.headers["mousetrap-reason"] == "store-damaged"
    assert neighbour.state is RunState.COMPLETED
