"""Tests which messages of a queue come later, in a real store."""

import time

import pytest

from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store import open_store
from support.ports import closed_port


async def test_what_comes_later_is_counted_by_queue_until_it_is_due(store_url: str) -> None:
    now_ms = int(time.time() * 1000)
    async with open_store(store_url, retention=3600) as opened:
        await opened.note_later(
            {"q": {"a": now_ms + 60_000, "b": now_ms + 90_000}, "other": {"c": now_ms - 1}}
        )
        await opened.note_later({"q": {"a": now_ms + 120_000}})  # the same job, parked once more

        assert await opened.count_later(["q", "other", "none"]) == [2, 0, 0]


async def test_the_first_message_of_a_delayed_run_is_noted(store_url: str) -> None:
    async with open_store(store_url, retention=3600) as opened:
        opened.note_first_later("q", "a", 60.0)
    async with open_store(store_url, retention=3600) as reader:
        assert await reader.count_later(["q"]) == [1]


async def test_no_more_are_kept_than_the_most(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.run_store.delayed._MOST", 2)
    now_ms = int(time.time() * 1000)
    async with open_store(store_url, retention=3600) as opened:
        await opened.note_later({"q": {str(it): now_ms + 60_000 * it for it in range(1, 5)}})

        assert await opened.count_later(["q"]) == [2]


async def test_a_store_that_is_away_is_named_to_who_counts_alone() -> None:
    async with open_store(f"valkey://127.0.0.1:{closed_port()}/0", retention=3600) as opened:
        opened.note_first_later("q", "a", 60.0)
        with pytest.raises(StoreUnreachable):
            await opened.count_later(["q"])
