"""Tests the registry of workers in a real store."""

import time

import pytest
from redis import Redis

from mousetrap.jobs import Backlog, StoreUnreachable
from mousetrap.shapes import Doing
from mousetrap.worker_registry import open_registry
from support.heartbeats import a_heartbeat
from support.ports import closed_port
from support.valkey import administrator


def raw(url: str) -> "Redis":
    return Redis.from_url(administrator(url))


async def test_workers_are_listed_by_name_by_their_last_beats(store_url: str) -> None:
    job = Doing(run_id="r1", stage="fetch", attempt=2, seconds=1.5)

    async with open_registry(store_url) as registry:
        await registry.beat(a_heartbeat("w2"))
        await registry.beat(a_heartbeat("w1"))
        (first, _) = await registry.workers()
        await registry.beat(a_heartbeat("w1", done=5, doing=(job,)))

        one, two = await registry.workers()

        assert [(each.name, each.state) for each in (one, two)] == [("w1", "serving"), ("w2", "serving")]
        assert (one.done, one.running, one.doing) == (5, 1, (job,))
        assert one.started_ms == first.started_ms <= first.seen_ms <= one.seen_ms
        assert 0 <= one.silent < 30


async def test_a_worker_that_leaves_is_forgotten_at_once(store_url: str) -> None:
    async with open_registry(store_url) as registry:
        await registry.beat(a_heartbeat("w1"))
        await registry.beat(a_heartbeat("w2"))

        await registry.leave("w1")

        assert [each.name for each in await registry.workers()] == ["w2"]


async def test_a_worker_that_fell_silent_is_stale_with_what_it_ran(store_url: str) -> None:
    job = Doing(run_id="r1", stage="fetch", attempt=1, seconds=0.0)

    async with open_registry(store_url) as registry:
        await registry.beat(a_heartbeat(doing=(job,)))
        with raw(store_url) as client:
            client.hincrby("mousetrap:worker:w1", "seen_ms", -16_000)

        (seen,) = await registry.workers()

        assert (seen.state, seen.doing) == ("stale", (job,))
        assert seen.silent >= 16


async def test_a_silent_worker_is_forgotten_after_an_hour_and_no_key_stays_without_end(
    store_url: str,
) -> None:
    async with open_registry(store_url) as registry:
        await registry.beat(a_heartbeat("old"))
        with raw(store_url) as client:
            client.zincrby("mousetrap:workers", -3_600_001, "old")
        await registry.beat(a_heartbeat("new"))

        with raw(store_url) as client:
            keys = client.keys("*")
            assert {key: 0 < client.pttl(key) <= 3_600_000 for key in keys} == dict.fromkeys(keys, True)
            assert client.zrange("mousetrap:workers", 0, -1) == [b"new"]
            client.delete("mousetrap:worker:new")  # as its time-to-live would do it
        assert await registry.workers() == ()


@pytest.mark.parametrize(
    ("looks", "waited"),
    [
        ([(3, None)], 0),  # no earlier observation: the wait begins now
        ([(3, 60)], 60),
        ([(3, 60), (2, None)], 60),
        ([(3, 60), (3, 20)], 20),  # workers have come so far
        ([(3, 20), (3, 60)], 20),  # one of them has given back what it took long ago
        ([(3, 60), (0, None)], 0),
        ([(3, 60), (0, None), (1, None)], 0),  # the messages that wait now came after that
        ([(3, 60), (3, -1000)], 0),  # a clock that is ahead
    ],
)
async def test_what_was_seen_of_a_queue_shows_how_long_the_oldest_can_have_waited(
    store_url: str, looks: list[tuple[int, float | None]], waited: float
) -> None:
    async with open_registry(store_url) as registry:
        start = time.time()
        ages = [
            await registry.look("q", Backlog(ready, None if ago is None else int((start - ago) * 1000)))
            for ready, ago in looks
        ]

        assert waited <= ages[-1] + 0.001 <= waited + time.time() - start + 0.01
        assert await registry.look("another", Backlog(1, None)) == 0


async def test_looks_are_forgotten_after_an_hour_without_a_look(store_url: str) -> None:
    async with open_registry(store_url) as registry:
        await registry.look("q", Backlog(1, None))

        with raw(store_url) as client:
            assert {key: 0 < client.pttl(key) <= 3_600_000 for key in client.keys("*")} == {
                b"mousetrap:waiting:q": True
            }


async def test_an_absent_store_is_reported() -> None:
    port = closed_port()

    async with open_registry(f"valkey://127.0.0.1:{port}/0") as registry:
        for act in (
            registry.beat(a_heartbeat()),
            registry.leave("w1"),
            registry.workers(),
            registry.look("q", Backlog(0, None)),
        ):
            with pytest.raises(StoreUnreachable, match=f"127.0.0.1:{port}"):
                await act
