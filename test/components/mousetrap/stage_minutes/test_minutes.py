"""Tests the minutes of the last day in a real store."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis import Redis

from mousetrap.jobs import StoreUnreachable
from mousetrap.shapes import Minute
from mousetrap.stage_minutes import Counts, Minutes
from mousetrap.worker_registry import open_registry
from support.ports import closed_port
from support.valkey import administrator

HOUR_MS, MINUTE_MS = 3_600_000, 60_000


@asynccontextmanager
async def opened(store_url: str) -> AsyncIterator[Minutes]:
    async with open_registry(store_url) as registry:
        yield Minutes(registry.client, registry.place)


def write(url: str, ago_minutes: int, **counts: int) -> int:
    """Counts of `p.add` so many minutes ago, and the begin of that minute."""
    at_ms = (int(time.time() * 1000) // MINUTE_MS - ago_minutes) * MINUTE_MS
    minute = at_ms % HOUR_MS // MINUTE_MS
    with Redis.from_url(administrator(url)) as client:
        for name, value in counts.items():
            client.hset(f"mousetrap:minute:p.add:{at_ms // HOUR_MS}", f"{minute:02}.{name}", str(value))
    return at_ms


async def test_what_workers_add_is_the_sum_of_a_minute(store_url: str) -> None:
    async with opened(store_url) as minutes:
        before = time.time() * 1000
        await minutes.add({"p.add": Counts(begun=2, done=1, wait_ms=7)}, {"adds": 3})
        await minutes.add({"p.add": Counts(begun=1, failed=1, run_ms=9)}, {"adds": 5})

        found = (await minutes.of_stages(["p.add", "p.other"], 24))["p.add"]

        assert sum(each.begun for each in found) == 3
        assert (sum(it.done for it in found), sum(it.failed for it in found)) == (1, 1)
        assert (sum(it.wait_ms for it in found), sum(it.run_ms for it in found)) == (7, 9)
        assert all(each.at_ms % MINUTE_MS == 0 and each.at_ms > before - MINUTE_MS for each in found)
        assert (await minutes.of_queue("adds", 24))[-1].ready == 5
        with Redis.from_url(administrator(store_url)) as client:
            kept = [client.ttl(key) for key in client.scan_iter("mousetrap:minute:*")]
            assert kept
            assert all(24 * 3600 < seconds <= 25 * 3600 for seconds in kept)


async def test_a_day_is_read_and_no_more(store_url: str) -> None:
    async with opened(store_url) as minutes:
        write(store_url, 24 * 60 + 2, begun=100)
        old = write(store_url, 23 * 60, begun=10, done=9)
        new = write(store_url, 1, begun=1)

        assert (await minutes.of_stages(["p.add"], 24))["p.add"] == (
            Minute(at_ms=old, begun=10, done=9),
            Minute(at_ms=new, begun=1),
        )
        assert (await minutes.of_stages(["p.add"], 1))["p.add"] == (Minute(at_ms=new, begun=1),)


async def test_the_last_minutes_are_summed(store_url: str) -> None:
    async with opened(store_url) as minutes:
        write(store_url, 20, begun=1_000)
        write(store_url, 2, begun=10)
        await minutes.add({"p.add": Counts(begun=1)}, {})

        recent = await minutes.recent(["p.add", "p.other"], ["adds"])

        assert recent.counts == {"p.add": Counts(begun=11), "p.other": Counts()}
        assert 240 <= recent.seconds <= 300
        assert recent.ready == {"adds": None}


async def test_what_is_damaged_counts_for_nothing(store_url: str) -> None:
    async with opened(store_url) as minutes:
        at_ms = write(store_url, 0, done=2)
        another = (at_ms // MINUTE_MS + 1) % 60
        with Redis.from_url(administrator(store_url)) as client:
            client.hset(
                f"mousetrap:minute:p.add:{at_ms // HOUR_MS}",
                mapping={"x.done": "7", f"{another:02}.done": "many", "²².done": "1"},
            )
            client.set(f"mousetrap:minute:p.other:{at_ms // HOUR_MS}", "no hash")

        found = await minutes.of_stages(["p.add", "p.other"], 1)

        assert found == {"p.add": (Minute(at_ms=at_ms, done=2),), "p.other": ()}
        assert (await minutes.recent(["p.other"], [])).counts == {"p.other": Counts()}


async def test_a_store_that_is_away_is_named() -> None:
    async with open_registry(f"valkey://127.0.0.1:{closed_port()}/0") as registry:
        minutes = Minutes(registry.client, registry.place)

        with pytest.raises(StoreUnreachable):
            await minutes.add({"p.add": Counts(begun=1)}, {})
        with pytest.raises(StoreUnreachable):
            await minutes.recent(["p.add"], [])
