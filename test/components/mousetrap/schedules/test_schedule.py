"""Refuses schedules without a meaning, and words the others."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mousetrap.schedules import (
    Schedule,
    ScheduleWrong,
    fires_at,
    in_zone,
    newest_ticks,
    next_tick,
    run_id_of_tick,
    ticks_between,
    words,
)

MINUTE_MS, DAY_MS = 60_000, 86_400_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


def every(span: timedelta, **more: Any) -> Schedule:
    return Schedule("often", pipeline="papers", every=span, **more)


def by_cron(cron: str, tz: str = "UTC", **more: Any) -> Schedule:
    return Schedule("nightly", pipeline="papers", cron=cron, tz=tz, **more)


DAILY = {"pipeline": "papers", "cron": "30 2 * * *"}
WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("Nightly!", DAILY, "name", "1 to 55 of a-z"),
    ("a", {**DAILY, "pipeline": ""}, "pipeline", "give the pipeline's name"),
    ("a", {"pipeline": "papers"}, "cron", "neither cron nor every is given"),
    ("a", {**DAILY, "every": timedelta(hours=1)}, "cron", "both given"),
    ("a", {"pipeline": "papers", "cron": "0 0 30 2 *"}, "cron", "never fires"),
    ("a", {"pipeline": "papers", "cron": "0 0 31 4,6 *"}, "cron", "never fires"),
    ("a", {"pipeline": "papers", "cron": "0 0 5W * *"}, "cron", "day of month is wrong"),
    ("a", {"pipeline": "papers", "cron": "61 * * * *"}, "cron", "minute is wrong"),
    ("a", {"pipeline": "papers", "cron": "* * * *"}, "cron", "of 4 fields: give five"),
    ("a", {"pipeline": "papers", "cron": "0 * * * * *"}, "cron", "of 6 fields: give five"),
    ("a", {"pipeline": "papers", "cron": "@hourly"}, "cron", "every=timedelta"),
    ("a", {"pipeline": "papers", "cron": 5}, "cron", "give a text of five fields"),
    ("a", {**DAILY, "tz": "Europe/Bärlin"}, "tz", "no zone of the IANA database"),
    ("a", {**DAILY, "tz": "../../etc/passwd"}, "tz", "no zone of the IANA database"),
    ("a", {**DAILY, "tz": "localtime"}, "tz", "no zone of the IANA database"),
    ("a", {**DAILY, "tz": "right/Europe/Berlin"}, "tz", "no zone of the IANA database"),
    ("a", {**DAILY, "tz": ""}, "tz", "no zone of the IANA database"),
    ("a", {**DAILY, "tz": None}, "tz", "no zone of the IANA database"),
    ("a", {"pipeline": "papers", "every": timedelta(0)}, "every", "from one second"),
    ("a", {"pipeline": "papers", "every": timedelta(seconds=-5)}, "every", "from one second"),
    ("a", {"pipeline": "papers", "every": 5}, "every", "give a timedelta"),
    ("a", {"pipeline": "papers", "every": timedelta(seconds=1.0001)}, "every", "whole milliseconds"),
    ("a", {"pipeline": "papers", "every": timedelta(hours=1), "tz": "Asia/Tokyo"}, "tz", "goes with cron"),
    (
        "a",
        {"pipeline": "papers", "every": timedelta(hours=1), "anchor": datetime(2026, 1, 1)},
        "anchor",
        "no time zone",
    ),
    (
        "a",
        {"pipeline": "papers", "every": timedelta(hours=1), "jitter": timedelta(hours=1)},
        "jitter",
        "less than",
    ),
    ("a", {**DAILY, "jitter": timedelta(days=2)}, "jitter", "up to a day"),
    ("a", {**DAILY, "missed": "some"}, "missed", "'skip', 'once' or 'all'"),
    ("a", {**DAILY, "overlap": "never"}, "overlap", "'queue_one'"),
    ("a", {**DAILY, "overlap": "skip", "missed": "all"}, "overlap", "begin together"),
    ("a", {**DAILY, "most": 0}, "most", "from 1 to 1000"),
    ("a", {**DAILY, "catch_up": timedelta(days=-1)}, "catch_up", "up to a hundred years"),
    ("a", {**DAILY, "expires_after": timedelta(0)}, "expires_after", "more than nothing"),
    ("a", {**DAILY, "tick_as": "day", "input": [1]}, "tick_as", "has no members"),
    ("a", {**DAILY, "tick_as": 5}, "tick_as", "the name of a member"),
    ("a", {**DAILY, "input": object()}, "input", "input has no JSON form"),
    ("a", {**DAILY, "input": "\ud800"}, "input", "input has no JSON form"),
    ("a", {**DAILY, "tags": ("x" * 65,)}, "tags", "1 to 64 printable"),
    ("a", {**DAILY, "tags": "nightly"}, "tags", "give a tuple"),
    ("a", {**DAILY, "priority": 10}, "priority", "0 to 9"),
    ("a", {**DAILY, "priority": "9"}, "priority", "0 to 9"),
]


@pytest.mark.parametrize(("name", "arguments", "member", "text"), WRONG)
def test_what_has_no_meaning_is_refused_where_it_is_written(
    name: str, arguments: dict[str, Any], member: str, text: str
) -> None:
    with pytest.raises(ScheduleWrong) as refused:
        Schedule(name, **arguments)
    assert refused.value.member == member
    assert text in str(refused.value) and repr(name) in str(refused.value)


def test_intervals_are_counted_from_their_anchor() -> None:
    schedule = every(timedelta(minutes=15), anchor=datetime(2026, 1, 1, 0, 5, tzinfo=UTC))
    begin = at("2026-11-30T10:00:00+00:00")
    assert next_tick(schedule, begin) == begin + 5 * MINUTE_MS
    assert next_tick(schedule, begin + 5 * MINUTE_MS) == begin + 20 * MINUTE_MS


def test_leap_days() -> None:
    found = list(
        ticks_between(by_cron("0 0 29 2 *"), at("2023-01-01T00:00:00+00:00"), at("2033-01-01T00:00:00+00:00"))
    )
    assert found == [at(f"{year}-02-29T00:00:00+00:00") for year in (2024, 2028, 2032)]


def test_both_clock_changes_of_a_year() -> None:
    nightly = by_cron("30 2 * * *", "Europe/Berlin")
    assert next_tick(nightly, at("2026-03-29T00:00:00+01:00")) == at("2026-03-29T03:00:00+02:00")
    autumn = list(ticks_between(nightly, at("2026-10-25T00:00:00+02:00"), at("2026-10-25T23:00:00+01:00")))
    assert autumn == [at("2026-10-25T02:30:00+02:00")]
    hourly = by_cron("0 * * * *", "Europe/Berlin")
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)):
        begin = int(datetime.fromisoformat(f"{day}T00:00").astimezone(UTC).timestamp())
        local = [
            tick
            for tick in ticks_between(hourly, (begin - 2 * 86_400) * 1000, (begin + 3 * 86_400) * 1000)
            if in_zone(hourly, tick).startswith(day)
        ]
        assert len(local) == hours


def test_a_year_without_a_scheduler_costs_no_walk_over_the_year() -> None:
    now = at("2026-11-30T10:00:30+00:00")
    assert newest_ticks(by_cron("* * * * *"), now - 366 * DAY_MS, now, 3) == [
        at(f"2026-11-30T{text}:00+00:00") for text in ("09:58", "09:59", "10:00")
    ]
    assert newest_ticks(by_cron("0 0 1 1 *"), now - 400 * DAY_MS, now, 3) == [at("2026-01-01T00:00:00+00:00")]
    assert newest_ticks(by_cron("0 0 1 1 *"), now - DAY_MS, now, 3) == []


def test_jitter_follows_from_the_tick() -> None:
    schedule = by_cron("30 2 * * *", jitter=timedelta(seconds=30))
    ticks = list(ticks_between(schedule, at("2026-01-01T00:00:00+00:00"), at("2026-12-01T00:00:00+00:00")))
    delays = [fires_at(schedule, tick) - tick for tick in ticks]
    assert delays == [fires_at(schedule, tick) - tick for tick in ticks]
    assert all(0 <= delay <= 30_000 for delay in delays) and len(set(delays)) > 100
    assert fires_at(by_cron("30 2 * * *"), ticks[0]) == ticks[0]


def test_a_tick_has_one_id() -> None:
    nightly = by_cron("30 2 * * *")
    assert run_id_of_tick(nightly, 5, 1_000) == run_id_of_tick(by_cron("0 5 * * *"), 5, 1_000)
    ids = {run_id_of_tick(nightly, created, tick) for created in (5, 6) for tick in (1_000, 2_000)}
    assert len(ids) == 4 and all(len(each) == 32 for each in ids)


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (by_cron("30 2 * * *", "Europe/Berlin"), "At 02:30 every day (Europe/Berlin)"),
        (every(timedelta(minutes=15)), "every 15 minutes"),
        (every(timedelta(days=1)), "every day"),
        (every(timedelta(milliseconds=1500)), "every 1500 milliseconds"),
    ],
)
def test_words(schedule: Schedule, text: str) -> None:
    assert words(schedule) == text
