"""Pauses and requests are kept, signed, and read in one round trip."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from redis import Redis

from mousetrap.control import NOTHING_ASKED, Control, Orders
from mousetrap.jobs import StoreUnreachable
from mousetrap.shapes import Pause, WorkerRequest
from mousetrap.signing import Keyring
from mousetrap.worker_registry import open_registry
from support.ports import closed_port
from support.valkey import administrator

KEYRING = Keyring.parse("a:a-secret-for-the-tests")
FIRST = Pause(who="anna", since_ms=1_765_000_000_000, why="the feed lies")
LATER = Pause(who="ben", since_ms=1_765_000_001_000)
DRAIN = WorkerRequest(act="drain", who="anna", since_ms=1_765_000_000_000)
STOP = WorkerRequest(act="stop", who="anna", since_ms=1_765_000_000_000, why="the machine goes")


@pytest.fixture
def control(store_url: str) -> AbstractAsyncContextManager[Control]:
    """An `async def` test gets it opened."""
    return opened(store_url)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Control]:
    async with open_registry(url) as registry:
        yield Control(registry.client, registry.place, KEYRING)


def raw(url: str) -> "Redis":
    return Redis.from_url(administrator(url))


async def test_the_first_pause_of_a_queue_stands_until_it_is_resumed(control: Control) -> None:
    assert await control.pause("q", FIRST) is None
    assert await control.pause("q", LATER) == FIRST
    assert await control.paused() == {"q": FIRST}
    assert (await control.orders("w1", ["q", "other"])).paused == {"q": FIRST}

    assert (await control.resume("q"), await control.resume("q")) == (True, False)
    assert await control.orders("w1", ["q"]) == NOTHING_ASKED


async def test_a_worker_finds_its_own_request_which_a_later_one_replaces(control: Control) -> None:
    await control.ask("w1", DRAIN, ["w1", "w2"])
    await control.ask("w1", STOP, ["w1", "w2"])

    assert await control.orders("w1", ["q"]) == Orders(request=STOP)
    assert await control.orders("w2", ["q"]) == NOTHING_ASKED
    assert (await control.forget("w1"), await control.forget("w1")) == (True, False)


async def test_requests_to_workers_that_are_gone_do_not_pile_up(control: Control) -> None:
    await control.ask("gone", STOP, ["gone", "w1"])
    await control.ask("w1", DRAIN, ["w1"])

    assert await control.asked() == {"w1": DRAIN}


@pytest.mark.parametrize("record", [b"", b"junk", b"\n{}", b"v1.a.x\n" + b'{"who":"eve","since_ms":1}'])
async def test_what_no_key_of_ours_signed_pauses_nothing_and_can_be_replaced(
    control: Control, store_url: str, record: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with raw(store_url) as store:
        store.hset("mousetrap:paused", "q", record)
        store.hset("mousetrap:asked", "w1", record)

    assert await control.orders("w1", ["q"]) == NOTHING_ASKED
    assert await control.orders("w1", ["q"]) == NOTHING_ASKED
    assert (await control.paused(), await control.asked()) == ({}, {})
    assert len(caplog.records) <= 2, "each is logged once"

    assert await control.pause("q", FIRST) is None
    assert await control.paused() == {"q": FIRST}


async def test_the_record_of_one_queue_does_not_pause_another(control: Control, store_url: str) -> None:
    await control.pause("q", FIRST)
    with raw(store_url) as store:
        record = store.hget("mousetrap:paused", "q")
        assert isinstance(record, bytes)
        store.hset("mousetrap:paused", "other", record)

    assert await control.paused() == {"q": FIRST}


async def test_a_store_that_is_away_is_reported() -> None:
    url = f"valkey://127.0.0.1:{closed_port()}/0"
    async with opened(url) as control:
        with pytest.raises(StoreUnreachable):
            await control.orders("w1", ["q"])
