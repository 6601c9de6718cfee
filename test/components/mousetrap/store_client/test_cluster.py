"""Tests the store's client against a cluster."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mousetrap.jobs import StoreUnreachable
from mousetrap.store_client import Library, ReplyError, open_client, reaching
from mousetrap.store_client.cluster import ClusterClient
from mousetrap.store_client.slots import SLOTS, Place, SlotMap, key_of, slot_of
from support.valkey_cluster import Node, ValkeyCluster

#: Keys of all three primaries.
KEYS = [f"mousetrap:{number}" for number in range(12)]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[ClusterClient]:
    client = open_client(url, None)
    assert isinstance(client, ClusterClient)
    try:
        yield client
    finally:
        await client.close()


def place(node: Node) -> Place:
    return Place("127.0.0.1", node.port)


def calls(node: Node, command: str) -> int:
    """How often the server did a command."""
    lines = node.ask("INFO", "commandstats").decode().splitlines()
    found = next((line for line in lines if line.startswith(f"cmdstat_{command}:")), "calls=0,")
    return int(found.partition("calls=")[2].partition(",")[0])


def test_keys_are_in_the_slots_that_the_server_has_them_in(valkey_cluster: ValkeyCluster) -> None:
    node = valkey_cluster.nodes[0]
    for key in ("a", "mousetrap:{r1}:run", "{}a", "{a", "a}", "{a}{b}", "x{}{y}", "mousetrap:lock:{", "é{ü}"):
        assert slot_of(key) == slot_of(key.encode()) == node.ask("CLUSTER", "KEYSLOT", key)
    assert slot_of("mousetrap:{r1}:run") == slot_of("mousetrap:{r1}:job:j1")


def test_the_key_of_a_command_decides_where_it_goes() -> None:
    assert key_of(("SET", "k", "v")) == "k"
    assert key_of(("FCALL", "f", 2, "k", "l", "v")) == "k"
    assert [key_of(command) for command in (("FCALL", "f", 0, "v"), ("TIME",), ("PUBLISH", "c", "v"))] == [
        None,
        None,
        None,
    ]


def test_a_slot_that_no_server_has_has_no_primary() -> None:
    first, second = Place("a", 1), Place("b", 2)
    known = SlotMap([(100, 199, second), (0, 49, first)])

    assert [known.primary_of(slot) for slot in (0, 49, 50, 100, 199, 200)] == [
        first,
        first,
        None,
        second,
        second,
        None,
    ]
    assert known.primaries == (first, second)
    assert SlotMap.read([[5, 6, [b"", 7, b"id"], [b"c", 8, b"id"]]], Place("asked", 1)).primary_of(5) == (
        "asked",
        7,
    )


async def test_a_call_has_its_replies_in_order_from_all_servers(valkey_cluster: ValkeyCluster) -> None:
    async with opened(valkey_cluster.url) as client:
        await client.pipeline([("SET", key, key) for key in KEYS])
        before = [calls(node, "get") for node in valkey_cluster.primaries()]
        *found, time, error = await client.pipeline(
            [*(("GET", key) for key in KEYS), ("TIME",), ("LPUSH", KEYS[0], 1)]
        )

        assert found == [key.encode() for key in KEYS]
        assert len(time) == 2
        assert isinstance(error, ReplyError)
        assert error.code == "WRONGTYPE"
        after = [calls(node, "get") for node in valkey_cluster.primaries()]
        assert all(now > then for now, then in zip(after, before, strict=True))


async def test_each_primary_is_asked_and_one_that_is_away_is_left_out(valkey_cluster: ValkeyCluster) -> None:
    async with opened(valkey_cluster.url) as client:
        ids = {node.ask("CLUSTER", "MYID") for node in valkey_cluster.primaries()}
        assert set(await client.each("CLUSTER", "MYID")) == ids
        with pytest.raises(ReplyError):
            await client.each("CLUSTER", "NOTHING")

        away = valkey_cluster.primaries()[0]
        gone = away.ask("CLUSTER", "MYID")
        valkey_cluster.replica_of(away)
        away.kill()
        assert set(await client.each("CLUSTER", "MYID")) == ids - {gone}


async def test_functions_are_loaded_on_all_servers_before_they_are_called(
    valkey_cluster: ValkeyCluster,
) -> None:
    library = Library.of(
        "routed", "redis.register_function('NAME', function(keys) return redis.call('INCR', keys[1]) end)"
    )
    async with opened(valkey_cluster.url) as client:
        _, *replies = await client.pipeline(
            [
                ("FUNCTION", "LOAD", "REPLACE", library.source),
                *(("FCALL", library.name, 1, key) for key in KEYS),
            ]
        )
        assert replies == [1] * len(KEYS)
        valkey_cluster.primaries()[2].ask("FUNCTION", "FLUSH")

        assert [await library.call(client.call, keys=[key]) for key in KEYS] == [2] * len(KEYS)


async def test_a_dead_server_keeps_no_other_from_getting_functions(valkey_cluster: ValkeyCluster) -> None:
    """As when a new version of a program starts while one server is away."""
    library = Library.of("late", "redis.register_function('NAME', function(keys) return keys[1] end)")
    primary = valkey_cluster.primary_of(KEYS[0])
    elsewhere = next(key for key in KEYS if valkey_cluster.primary_of(key) is not primary)
    valkey_cluster.replica_of(primary)
    async with opened(valkey_cluster.url) as client:
        await client.call("GET", elsewhere)
        primary.kill()

        assert await library.call(client.call, keys=[elsewhere]) == elsewhere.encode()
        with pytest.raises(ConnectionError):
            await library.call(client.call, keys=[KEYS[0]])
    valkey_cluster.promote_replica_of(primary)


async def test_who_is_notified_finds_what_was_written_before(valkey_cluster: ValkeyCluster) -> None:
    came: asyncio.Queue[Any] = asyncio.Queue()
    async with opened(valkey_cluster.url) as client:
        listening = asyncio.create_task(client.subscribe(["mousetrap:nudge"], came.put_nowait, 60.0))
        assert await came.get() == [b"subscribe", b"mousetrap:nudge", 1]
        for number, key in enumerate(KEYS):
            writing = asyncio.create_task(
                client.pipeline([("PUBLISH", "mousetrap:nudge", key), ("SET", key, number)])
            )
            assert await came.get() == [b"message", b"mousetrap:nudge", key.encode()]
            assert await client.call("GET", key) == b"%d" % number
            await writing
        listening.cancel()
        await asyncio.wait([listening])


async def test_a_redirect_is_followed_and_teaches_where_slots_are(valkey_cluster: ValkeyCluster) -> None:
    async with opened(valkey_cluster.url) as client:
        await client.pipeline([("SET", key, key) for key in KEYS])
        # All slots are with one server, as far as the client knows.
        client._map = SlotMap([(0, SLOTS - 1, place(valkey_cluster.primaries()[0]))])

        assert await client.pipeline([("GET", key) for key in KEYS]) == [key.encode() for key in KEYS]
        assert client._refreshing is not None
        await client._refreshing
        assert len(client._map.primaries) == 3

        client._map = SlotMap([(0, SLOTS - 1, place(valkey_cluster.primaries()[0]))])
        for key in KEYS:
            assert await client.together([("GET", key), ("EXISTS", key)]) == [key.encode(), 1]


async def test_a_slot_on_its_way_to_another_server_is_found(valkey_cluster: ValkeyCluster) -> None:
    key = KEYS[0]
    source = valkey_cluster.primary_of(key)
    target = next(node for node in valkey_cluster.primaries() if node is not source)
    slot = slot_of(key)
    source_id, target_id = (node.ask("CLUSTER", "MYID").decode() for node in (source, target))
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    try:
        async with opened(valkey_cluster.url) as client:
            # The source has not got the key, so it sends to the target, which takes it for one who sends ASKING.
            assert await client.pipeline([("SET", key, 1), ("GET", key)]) == [b"OK", b"1"]
            with pytest.raises(ConnectionError, match="ASK"):
                await client.together([("GET", key)])
        source.ask("CLUSTER", "SETSLOT", slot, "STABLE")
        assert source.ask("GET", key) is None
    finally:
        target.ask("CLUSTER", "SETSLOT", slot, "STABLE")
        source.ask("CLUSTER", "SETSLOT", slot, "STABLE")


async def test_a_dead_primary_fails_its_keys_alone_until_its_replica_has_taken_over(
    valkey_cluster: ValkeyCluster,
) -> None:
    async with opened(valkey_cluster.url) as client:
        await client.pipeline([("SET", key, key) for key in KEYS])
        primary = valkey_cluster.primary_of(KEYS[0])
        valkey_cluster.replica_of(primary)
        primary.kill()

        replies = await client.pipeline([*(("GET", key) for key in KEYS), ("TIME",)])
        lost = {key for key, reply in zip(KEYS, replies, strict=False) if isinstance(reply, ReplyError)}
        assert KEYS[0] in lost
        assert lost < set(KEYS)
        with pytest.raises(StoreUnreachable, match="refused"), reaching("h:1"):
            await client.call("GET", KEYS[0])
        assert await client.call("PUBLISH", "mousetrap:nudge", "") == 0

        valkey_cluster.promote_replica_of(primary)
        await found_again(client, KEYS[0])
        assert await client.pipeline([("GET", key) for key in KEYS]) == [key.encode() for key in KEYS]


async def found_again(client: ClusterClient, key: str) -> None:
    """Returns once the client knows the server that took over: each call in vain has it ask."""
    while True:
        try:
            await client.call("GET", key)
        except (OSError, ReplyError):
            assert client._refreshing is not None
            await asyncio.wait([client._refreshing])
        else:
            return


async def test_what_fails_because_it_was_closed_opens_nothing(valkey_cluster: ValkeyCluster) -> None:
    async with opened(valkey_cluster.url) as client:
        await client.pipeline([("SET", key, key) for key in KEYS])
        for node in valkey_cluster.primaries():
            node.ask("CLIENT", "PAUSE", 60_000, "WRITE")
        try:
            calls = [client.call("SET", KEYS[0], 1), client.together([("SET", KEYS[0], 1)])]
            calls += [client.call("PUBLISH", "mousetrap:nudge", "")]
            waiting = [asyncio.create_task(call) for call in calls]
            await client.call("GET", KEYS[0])  # what was written before it is sent
            await client.close()

            failed = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(error) for error in failed] == [ConnectionError] * 3
            assert client._clients == {}
            assert client._refreshing is None
        finally:
            for node in valkey_cluster.primaries():
                node.ask("CLIENT", "UNPAUSE")


async def test_one_server_that_answers_is_enough_to_begin(valkey_cluster: ValkeyCluster) -> None:
    login, _, hosts = valkey_cluster.url.rpartition("@")
    only = hosts.partition("/")[0].split(",")[1]
    async with opened(f"{login}@127.0.0.1:1,{only}/0") as client:
        assert await client.call("SET", KEYS[0], 1) == b"OK"
    async with opened(f"{login}@127.0.0.1:1,127.0.0.1:2/0") as client:
        with pytest.raises(ConnectionError):
            await client.call("SET", KEYS[0], 1)


async def test_a_cluster_and_a_single_server_are_not_mixed_up(
    valkey_cluster: ValkeyCluster, store_url: str
) -> None:
    login, _, hosts = valkey_cluster.url.rpartition("@")
    client = open_client(f"{login}@{hosts.partition(',')[0]}/0", None)
    with pytest.raises(StoreUnreachable, match="one of a cluster"), reaching("h:1"):
        await asyncio.gather(*(client.call("GET", key) for key in KEYS))
    await client.close()

    login, _, host = store_url.rpartition("@")
    place = host.partition("/")[0]
    async with opened(f"{login}@{place},{place}/0") as cluster:
        with pytest.raises(ConnectionError, match="cluster support disabled"):
            await cluster.call("GET", KEYS[0])
