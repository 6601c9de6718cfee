"""Changes the rules of a zone between two starts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from mousetrap.schedules import Change, Record, Schedule, created, decide, in_zone, looks_at
from support.zones import ZONE, Update, zones_in

START, DAYS = datetime(2026, 3, 1, 12, tzinfo=UTC), 5


@pytest.fixture
def update(tmp_path: Path) -> Iterator[Update]:
    with zones_in(tmp_path) as update:
        yield update


def ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000


def nightly() -> Record:
    schedule = Schedule("nightly", pipeline="papers", cron="0 3 * * *", tz=ZONE, missed="skip")
    return created(schedule, "api", Change("ops", ms(START)))


def fired(record: Record, now_ms: int, until_ms: int) -> tuple[Record, list[str]]:
    """When it fires by the wall clock, looked at when the schedule asks for it."""
    times = []
    while now_ms < until_ms:
        record = decide(record, now_ms, busy=False)
        times += [in_zone(record.schedule, owed.tick_ms) for owed in record.owed]
        record = replace(record, owed=())
        now_ms = looks_at(record, now_ms) or until_ms
    return record, times


@pytest.mark.parametrize("hours", [0, 2, 14])
def test_after_an_update_ticks_follow_the_new_rules_each_once(update: Update, hours: int) -> None:
    update(1, None)
    middle, end = (ms(START + timedelta(days=days)) for days in (2, DAYS))
    record, before = fired(nightly(), ms(START), middle)
    update(hours, START + timedelta(days=2))
    record, after = fired(record, middle, end)
    assert before == [f"2026-03-0{day}T03:00:00+01:00" for day in (2, 3)]
    assert after == [f"2026-03-0{day}T03:00:00+{hours:02}:00" for day in (4, 5, 6)]
    assert record.past == ()


def test_an_update_of_the_past_can_have_a_time_come_twice(update: Update) -> None:
    """A tick is a moment: what fired at three by the old rules fired at two by the new ones."""
    update(1, None)
    middle = ms(START + timedelta(hours=14))
    record, before = fired(nightly(), ms(START), middle + 1)
    update(0, START)
    _, after = fired(record, middle + 1, ms(START + timedelta(days=1)))
    assert before == ["2026-03-02T03:00:00+01:00"] and after == ["2026-03-02T03:00:00+00:00"]
