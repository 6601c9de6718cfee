"""Tests that a run with a damaged key delays no other run."""

import pytest
from redis import Redis

from mousetrap.run_store import RunStore, open_store
from mousetrap.run_store.keys import packed_run_key, run_key
from mousetrap.shapes import RunState
from support.valkey import administrator


@pytest.fixture(params=[2, 5], autouse=True)
def new_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of either family."""
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", request.param)


def damage(store_url: str, run_id: str) -> None:
    """What anybody with the store's password can do to it: the key of a record is of another type."""
    with Redis.from_url(administrator(store_url)) as client:
        if client.delete(packed_run_key(run_id)):
            client.rpush(packed_run_key(run_id), "no string")
        else:
            client.set(run_key(run_id), "no hash")


async def three_runs(store: RunStore, store_url: str) -> None:
    for run_id in ("r1", "r2", "r3"):
        await store.open_run(run_id, "sums", "add", b"[1,2]")
    damage(store_url, "r2")


@pytest.mark.parametrize("times", [1, 2])
async def test_a_damaged_run_keeps_no_other_from_being_published(store_url: str, times: int) -> None:
    async with open_store(store_url, retention=60.0) as store:
        await three_runs(store, store_url)
        for _ in range(times):
            found = await store.unpublished(age=0)

    assert list(found.run_ids) == ["r1", "r3"]


async def test_a_damaged_run_keeps_no_watcher_from_learning_that_others_have_ended(store_url: str) -> None:
    async with open_store(store_url, retention=60.0) as store:
        await three_runs(store, store_url)
        assert await store.cancel("r3") == RunState.CANCELLED

        assert await store.ended(["r1", "r2", "r3"]) == {"r3"}


@pytest.mark.parametrize("value", ["no hash", b"\xff"])
async def test_a_damaged_note_of_the_latest_run_reads_as_none(store_url: str, value: str | bytes) -> None:
    with Redis.from_url(administrator(store_url)) as client:
        if isinstance(value, str):
            client.set("mousetrap:latest:sums", value)
        else:
            client.hset("mousetrap:latest:sums", "run", value)

    async with open_store(store_url, retention=60.0) as store:
        await store.open_run("r1", "sums", "add", b"[1,2]")
        assert await store.latest("sums") is None
