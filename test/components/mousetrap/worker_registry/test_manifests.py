"""Manifests reach the store once, outlive workers, and are signed."""

import pytest
from redis import Redis

from mousetrap.signing import Keyring, SignatureRefused
from mousetrap.worker_registry import NOTHING, Published, open_registry
from support.heartbeats import a_heartbeat
from support.valkey import administrator

KEYRING = Keyring.parse("a:a-secret-for-the-tests")
ONE = Published.of(b'["one"]', KEYRING)
OTHER = Published.of(b'["other"]', KEYRING)
_KEY = f"mousetrap:manifests:{ONE.digest}"


def raw(url: str) -> "Redis":
    return Redis.from_url(administrator(url))


async def beat(url: str, published: Published, *names: str) -> None:
    """Beats of workers with these manifests."""
    async with open_registry(url, published=published) as registry:
        for name in names:
            await registry.beat(a_heartbeat(name))


async def test_manifests_are_stored_once_and_again_when_the_store_lost_them(store_url: str) -> None:
    async with open_registry(store_url, published=ONE) as registry:
        with raw(store_url) as client:
            await registry.beat(a_heartbeat())
            assert await registry.manifests(ONE.digest) == ONE
            client.set(_KEY, b"as it was", keepttl=True)
            await registry.beat(a_heartbeat())
            assert client.get(_KEY) == b"as it was", "a beat does not send them again"

            client.flushall()
            await registry.beat(a_heartbeat())

            assert await registry.manifests(ONE.digest) == ONE


async def test_manifests_are_in_use_by_live_workers_and_stay_for_a_week(store_url: str) -> None:
    await beat(store_url, ONE, "w2", "w1")
    await beat(store_url, OTHER, "w3")
    await beat(store_url, NOTHING, "w4")
    async with open_registry(store_url) as registry:
        with raw(store_url) as client:
            client.hincrby("mousetrap:worker:w1", "seen_ms", -16_000)
        await registry.leave("w3")

        used = {it.digest: it.workers for it in await registry.in_use()}

        assert used == {ONE.digest: ("w2",), OTHER.digest: ()}
        with raw(store_url) as client:
            client.zincrby("mousetrap:manifests", -7 * 86_400_001, OTHER.digest)
            await beat(store_url, ONE, "w2")
            assert [it.digest for it in await registry.in_use()] == [ONE.digest]
            assert 0 < client.pttl(_KEY) <= 7 * 86_400_000
            assert 0 < client.pttl("mousetrap:manifests") <= 7 * 86_400_000


async def test_workers_are_listed_with_the_newest_at_the_end(store_url: str) -> None:
    await beat(store_url, ONE, "w1", "w2")
    with raw(store_url) as client:
        client.hincrby("mousetrap:worker:w1", "started_ms", 5_000)

    async with open_registry(store_url) as registry:
        assert [it.workers for it in await registry.in_use()] == [("w2", "w1")]


async def test_what_is_no_record_costs_nothing_else(store_url: str) -> None:
    await beat(store_url, ONE, "w1")
    with raw(store_url) as client:
        client.zadd("mousetrap:workers", {"text": 1, "times": 2, b"\xff": 3})
        client.set("mousetrap:worker:text", "no hash")
        times = {"manifests": ONE.digest, "started_ms": "x", "seen_ms": "y"}
        client.hset("mousetrap:worker:times", mapping=times)

        async with open_registry(store_url) as registry:
            assert [it.workers for it in await registry.in_use()] == [("w1",)]
            client.delete("mousetrap:manifests")
            client.set("mousetrap:manifests", "no set")
            assert await registry.in_use() == ()


def test_manifests_that_no_key_of_ours_signed_are_refused() -> None:
    forged = Published.read(b"\n" + ONE.manifests(KEYRING))
    changed = Published.read(ONE.record.replace(b"one", b"two"))

    for wrong in (
        forged,
        changed,
        Published.read(b"nothing"),
        Published.of(b"[]", Keyring.parse("b:" + "x" * 20)),
    ):
        with pytest.raises(SignatureRefused):
            wrong.manifests(KEYRING)
    assert ONE.manifests(KEYRING) == b'["one"]'
    assert forged.manifests(Keyring()) == b'["one"]'
