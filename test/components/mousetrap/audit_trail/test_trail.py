"""The audit trail is bounded, and read page by page."""

import asyncio
from typing import Any

import pytest

from mousetrap.audit_trail import open_trail
from mousetrap.audit_trail import trail as trail_module
from mousetrap.jobs import StoreUnreachable
from mousetrap.shapes import AuditEntry
from support.ports import closed_port

TIMEOUT_S = 60.0


def entry(number: int, **more: Any) -> AuditEntry:
    usual = {"act": "redrive", "who": "ops", "outcome": "done", "count": number, "reason": "ticket 81"}
    return AuditEntry(**{"at_ms": number, **usual, **more})


async def test_acts_are_listed_newest_first_and_page_by_page(store_url: str) -> None:
    async with open_trail(store_url) as trail:
        for number in range(7):
            trail.note(entry(number, what={"filter": {"queue": "start_fetch"}}))
        await asyncio.wait_for(trail.written(), TIMEOUT_S)

        first = await trail.page(limit=3)
        rest = await trail.page(limit=10, after=first.next)

    assert [it.count for it in first.entries] == [6, 5, 4]
    assert [it.count for it in rest.entries] == [3, 2, 1, 0]
    assert rest.next is None
    assert first.entries[0].what == {"filter": {"queue": "start_fetch"}}
    assert first.entries[0].reason == "ticket 81"


async def test_acts_are_found_by_what_and_who(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail_module, "_CHUNK", 2)  # each page looks at several
    async with open_trail(store_url) as trail:
        for number in range(9):
            trail.note(entry(number, act=["cancel", "rerun", "redrive"][number % 3], who=f"k{number % 2}"))
        await asyncio.wait_for(trail.written(), TIMEOUT_S)

        reruns = await trail.page(limit=2, act="rerun")
        more = await trail.page(limit=2, act="rerun", after=reruns.next)
        mine = await trail.page(limit=10, act="rerun", who="k0")

    assert [it.count for it in (*reruns.entries, *more.entries)] == [7, 4, 1]
    assert [it.count for it in mine.entries] == [4]


async def test_the_trail_is_bounded_and_what_is_no_entry_is_left_out(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail_module, "MOST_ENTRIES", 100)
    async with open_trail(store_url) as trail:
        for number in range(900):
            trail.note(entry(number))
        await asyncio.wait_for(trail.written(), TIMEOUT_S)
        await trail._client.call("XADD", "mousetrap:audit", "*", "entry", b"\xff", "odd", "1")
        await trail._client.call("XADD", "mousetrap:audit", "*", "other", "{}")

        page = await trail.page(limit=1)
        kept = await trail._client.call("XLEN", "mousetrap:audit")

    assert page.entries[0].count == 899
    assert 100 <= kept <= 300  # the server trims by whole nodes of a hundred


async def test_a_store_that_is_away_stops_no_act_and_what_waits_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trail_module, "_AGAIN_S", 0.01)
    monkeypatch.setattr(trail_module, "_LAST_S", 0.1)
    async with open_trail(f"valkey://127.0.0.1:{closed_port()}/0") as trail:
        for number in range(1_500):
            trail.note(entry(number))  # neither waits nor fails
        with pytest.raises(StoreUnreachable):
            await trail.page(limit=1)

        assert len(trail._waiting) == 1_000
        assert len(caplog.records) == 1


async def test_an_entry_leaves_the_line_once_it_is_written(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail_module, "_AGAIN_S", 0.01)
    async with open_trail(store_url) as trail:
        pipeline, refusals = trail._client.pipeline, iter([ConnectionError("away"), TimeoutError("late")])

        async def at_first_refused(commands: Any) -> Any:
            for error in refusals:
                raise error
            return await pipeline(commands)

        monkeypatch.setattr(trail._client, "pipeline", at_first_refused)
        trail.note(entry(1))
        trail.note(entry(2))
        await asyncio.wait_for(trail.written(), TIMEOUT_S)

        assert [it.count for it in (await trail.page(limit=9)).entries] == [2, 1]
