"""Compares the ticks with an oracle that walks each minute."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.schedules import Schedule, newest_ticks, next_tick, ticks_between
from support.oracle_of_ticks import WHOLE, ZONES, walked_ticks

FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
#: What stands in a field, for all fields but the first and the second beside `*`.
MINUTES = ("*", "*/15", "*/7", "0", "30", "0,30", "5-50/15", "59")
HOURS = ("*", "*/2", "*/5", "0", "1", "2", "3", "0,1,2,3", "1-3", "23")
DAYS = ("*", "1", "29", "31", "*/10", "25-31", "8-14")
MONTHS = ("*", "2", "3,10", "3-4", "9-11", "*/2")
WEEKDAYS = ("*", "0", "7", "1-5", "6")

_fields = (MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS)
expressions = st.tuples(*map(st.sampled_from, _fields)).map(" ".join)
days = st.integers(0, (LAST - FIRST).days - 1).map(lambda day: FIRST + timedelta(days=day))


def ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000


def ticks(cron: str, tz: str, begin: datetime, end: datetime) -> list[int]:
    schedule = Schedule("nightly", pipeline="papers", cron=cron, tz=tz)
    return list(ticks_between(schedule, ms(begin) - 1, ms(end) - 1))


def changes(tz: str, first: datetime, last: datetime) -> Iterator[datetime]:
    """The days on which the zone's offset changes."""
    zone, day = ZoneInfo(tz), first
    while day < last:
        if day.astimezone(zone).utcoffset() != (day + timedelta(days=1)).astimezone(zone).utcoffset():
            yield day
        day += timedelta(days=1)


CHANGES = [(tz, day) for tz in ZONES for day in changes(tz, FIRST, LAST)]


def is_possible(cron: str) -> bool:
    """Whether it ever fires; a schedule is refused that does not."""
    _, _, day, month, weekday = cron.split()
    return not (month == "2" and day == "31" and weekday == "*")


def check(cron: str, tz: str, begin: datetime, span: timedelta) -> None:
    if is_possible(cron):
        assert ticks(cron, tz, begin, begin + span) == walked_ticks(cron, tz, begin, begin + span)


@given(expressions, st.sampled_from(CHANGES))
def test_around_a_clock_change_the_ticks_are_those_of_the_oracle(cron: str, at: tuple[str, datetime]) -> None:
    tz, day = at
    check(cron, tz, day - timedelta(days=1), timedelta(days=3))


@given(expressions, st.sampled_from(ZONES), days)
def test_on_any_day_the_ticks_are_those_of_the_oracle(cron: str, tz: str, day: datetime) -> None:
    check(cron, tz, day, timedelta(days=4))


@given(expressions, st.sampled_from(CHANGES), st.integers(0, 3 * 86_400_000 - 1))
def test_where_the_search_begins_changes_no_tick(cron: str, at: tuple[str, datetime], into_ms: int) -> None:
    if not is_possible(cron):
        return
    tz, day = at
    schedule = Schedule("nightly", pipeline="papers", cron=cron, tz=tz)
    begin_ms, end_ms = ms(day - timedelta(days=1)), ms(day + timedelta(days=2))
    found = list(ticks_between(schedule, begin_ms - 1, end_ms - 1))
    later = [tick for tick in found if tick > begin_ms + into_ms]
    assert list(ticks_between(schedule, begin_ms + into_ms, end_ms - 1)) == later
    assert newest_ticks(schedule, begin_ms - 1, end_ms - 1, 5) == found[-5:]
    assert not later or next_tick(schedule, begin_ms + into_ms) == later[0]


@pytest.mark.long
@pytest.mark.parametrize(("place", "tz"), list(enumerate(ZONES)))
def test_a_year_of_each_zone_is_that_of_the_oracle(place: int, tz: str) -> None:
    """The whole of it, thirty years of each zone by each expression, is `development/schedule_years.py`: a quarter of an hour of CPU."""
    begin = FIRST.replace(year=FIRST.year + place)
    check(WHOLE[place % len(WHOLE)], tz, begin, begin.replace(year=begin.year + 1) - begin)
