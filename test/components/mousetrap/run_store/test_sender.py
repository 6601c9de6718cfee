"""Tests how packed transitions and plain commands are sent."""

import asyncio

import pytest
from redis import Redis

from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store import open_store
from mousetrap.run_store.packed.sender import can_compare
from support.ports import closed_port
from support.valkey import administrator


@pytest.mark.parametrize(
    ("info", "compares"),
    [
        (b"redis_version:7.2.4\r\nvalkey_version:8.1.0\r\n", True),
        (b"redis_version:7.2.4\r\nvalkey_version:8.0.9\r\n", False),
        (b"redis_version:8.4.0\r\n", True),
        (b"redis_version:8.2.1\r\n", False),
        (b"# Server\r\nredis_version:7.2.4\r\nvalkey_version:9.1.2\r\n", True),
        (b"", False),
        (ConnectionError("no"), False),
    ],
)
def test_a_server_of_a_version_that_compares_is_known_by_its_info(info: object, compares: bool) -> None:
    assert can_compare(info) is compares


async def test_a_server_that_was_emptied_gets_the_library_again(store_url: str) -> None:
    async with open_store(store_url, retention=600) as store:
        assert await store.cancel("r1") is None
        with Redis.from_url(administrator(store_url)) as client:
            client.function_flush()

        asked = await asyncio.gather(*(store.cancel(f"r{number}") for number in range(5)))

    assert asked == [None] * 5


async def test_each_of_a_tick_learns_that_the_store_is_away() -> None:
    port = closed_port()
    async with open_store(f"valkey://127.0.0.1:{port}", retention=600) as store:
        asked = await asyncio.gather(
            *(store.known([f"r{number}"]) for number in range(3)), return_exceptions=True
        )

    assert [type(error) for error in asked] == [StoreUnreachable] * 3
