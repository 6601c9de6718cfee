"""Tests the store's address and errors for people."""

import asyncio

import pytest
from hypothesis import given, settings
from redis.exceptions import ConnectionError

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.jobs import StoreUnreachable
from mousetrap.settings import Settings, SettingsWrong
from mousetrap.store_client import address, open_client, reaching
from support.settings import ANY_VALUE


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("valkey://me:secret@h:7000/1", "h:7000"),
        ("rediss://h", "h:6379"),
        ("unix:///run/valkey.sock?db=1", "/run/valkey.sock"),
    ],
)
def test_a_store_is_named_by_its_place_without_a_password(url: str, place: str) -> None:
    assert address(url) == place


@pytest.mark.parametrize("error", [ConnectionError("gone"), OSError("gone"), TimeoutError("gone")])
def test_any_fault_on_the_way_is_an_absent_store(error: Exception) -> None:
    with pytest.raises(StoreUnreachable, match=r"^cannot reach the store at h:1: gone$"), reaching("h:1"):
        raise error


def test_a_defect_is_not_taken_for_an_absent_store() -> None:
    with pytest.raises(ValueError, match="ours"), reaching("h:1"):
        raise ValueError("ours")


@settings(max_examples=400, deadline=None)
@given(ANY_VALUE)
def test_an_address_that_the_settings_take_can_be_read(url: str) -> None:
    try:
        taken = Settings.from_environ({"MOUSETRAP_STORE_URL": url})
    except SettingsWrong:
        return
    pool = open_client(taken.store_url, None).connection_pool
    pool.connection_class(**pool.connection_kwargs)
    address(taken.store_url)


async def test_connections_that_were_lost_while_idle_cost_no_call(own_valkey: EmbeddedValkey) -> None:
    client = open_client(own_valkey.url, None)
    try:
        # At once, so that each has a connection of its own, which the server's end breaks.
        await asyncio.gather(*(client.get(f"mousetrap:{n}") for n in range(8)))
        await asyncio.to_thread(own_valkey.kill)
        await asyncio.to_thread(own_valkey.start)

        assert await asyncio.gather(*(client.get(f"mousetrap:{n}") for n in range(8))) == [None] * 8
    finally:
        await client.aclose()
