"""Schedules on a terminal: made, shown, changed, paused and fired by hand."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from mousetrap.cli.tables.schedules import schedule_facts, schedules_table
from mousetrap.shapes import PastTick, Schedule, SchedulePage, SchedulePause, Tick
from support.terminal import shown

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
AT_MS = int(NOW.timestamp() * 1000)

Command = Callable[..., Any]


@pytest.fixture
def command(mousetrap: Command, api: httpx.Client) -> Command:
    """Runs a command against that API."""
    settings = {"COLUMNS": "80", "MOUSETRAP_API_URL": str(api.base_url).rstrip("/")}
    return lambda *arguments: mousetrap("schedules", *arguments, settings=settings)


def test_a_schedule_is_made_changed_paused_resumed_and_removed(command: Command, api: httpx.Client) -> None:
    made = command(
        *("add", "nightly", "--pipeline", "earthquakes", "--cron", "30 2 * * *", "--tz", "Europe/Berlin"),
        *(
            "--input",
            '{"url": "http://feed"}',
            "--jitter",
            "30s",
            "--catch-up",
            "2d",
            "--tag",
            "a",
            "--tag",
            "b",
        ),
    )
    refused = command("add", "odd", "--pipeline", "earthquakes", "--cron", "0 0 30 2 *")
    listed, empty = command("list"), command("list", "--after", "zzz")
    paused = command("pause", "nightly", "--why", "ticket 81")
    changed = command("change", "nightly", "--every", "15m", "--json")
    resumed = command("resume", "nightly", "--make-up")
    removed, unknown = command("remove", "nightly"), command("show", "nightly")

    assert made.code == 0 and "At 02:30 every day (Europe/Berlin)" in made.out
    assert (refused.code, "never fires" in refused.err) == (2, True)
    assert listed.code == 0 and "nightly" in listed.out and "no schedules" in empty.out
    assert "by loopback" in paused.out and "ticket 81" in paused.out
    members = json.loads(changed.out)
    assert (members["every"], members["cron"], members["jitter"], members["catch_up"]) == (
        900,
        None,
        30,
        172_800,
    )
    assert members["tags"] == ["a", "b"] and members["input"] == {"url": "http://feed"}
    assert resumed.code == 0 and "every 15 minutes" in resumed.out and "paused" not in resumed.out
    assert (removed.code, removed.out) == (0, "schedule nightly is removed\n")
    assert (unknown.code, "check the name" in unknown.err) == (2, True)


def test_a_schedule_is_run_now_and_backfilled(command: Command, api: httpx.Client) -> None:
    command("add", "hourly", "--pipeline", "earthquakes", "--every", "1h")
    command("pause", "hourly")

    ran = command("run", "hourly")
    filled = command("backfill", "hourly", "--from", "3h")
    facts = command("show", "hourly")

    assert ran.code == 0 and "is started: mousetrap show" in ran.out
    assert (filled.code, filled.out) == (0, "3 ticks: mousetrap runs --tag schedule:hourly\n")
    assert facts.code == 0 and "fired (now)" in facts.out
    assert api.get("/runs", params={"tag": "schedule:hourly"}).json()["runs"]


def a_schedule(**more: Any) -> Schedule:
    members: dict[str, Any] = {
        "name": "nightly",
        "pipeline": "earthquakes",
        "cron": "30 2 * * *",
        "tz": "Europe/Berlin",
        "words": "At 02:30 every day (Europe/Berlin)",
        "missed": "once",
        "most": 100,
        "catch_up": 86_400.0,
        "overlap": "allow",
        "jitter": 0.0,
        "origin": "code",
        "created_ms": AT_MS,
        "changed_ms": AT_MS,
        "changed_by": "code",
        "next": (Tick(at_ms=AT_MS + 4 * 3_600_000, local="2026-11-30T17:00:00+01:00"),),
    }
    return Schedule(**{**members, **more})


def test_a_list_fits_into_80_columns() -> None:
    past = (PastTick(at_ms=AT_MS, became="missed", decided_ms=AT_MS, count=14),)
    orphan = SchedulePause(who="code", at_ms=AT_MS, orphaned=True)
    page = SchedulePage(
        schedules=(
            a_schedule(past=past),
            a_schedule(name="gone", paused=orphan, next=()),
            a_schedule(name="late", overdue=True),
            a_schedule(name="often", cron=None, words="every 15 minutes"),
        ),
        next="often",
    )
    lines = shown(schedules_table(page, NOW)).splitlines()
    assert max(map(len, lines)) <= 80
    for text in ("in 4 h", "missed 14", "orphaned", "overdue", "never", "--after often"):
        assert any(text in line for line in lines), text


def test_a_schedule_shows_what_became_of_its_ticks() -> None:
    past = (
        PastTick(at_ms=AT_MS, became="fired", decided_ms=AT_MS, run_id="r1", cause="backfill"),
        PastTick(at_ms=AT_MS, became="refused", decided_ms=AT_MS, why="Expected `int`"),
    )
    text = shown(schedule_facts(a_schedule(past=past, waits="the store is full", owed=2, tags=("a",)), NOW))
    for part in (
        "30 2 * * *",
        "fired (backfill)",
        "Expected `int`",
        "the store is full",
        "2 runs",
        "in code",
    ):
        assert part in text, part
