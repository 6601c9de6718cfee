"""Finds ticks by walking each minute, slowly."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

#: With both, one or no clock changes a year; with changes of half an hour, at midnight, and of a whole day.
ZONES = (
    *("UTC", "Europe/Berlin", "Europe/London", "Europe/Moscow", "Europe/Lisbon", "Africa/Cairo"),
    *("Africa/Casablanca", "America/New_York", "America/Sao_Paulo", "America/Santiago", "America/Havana"),
    *("America/St_Johns", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Beirut", "Asia/Tehran", "Asia/Tokyo"),
    *("Australia/Lord_Howe", "Pacific/Apia", "Pacific/Auckland"),
)
#: Each kind of expression: by real time, by the wall clock at a fixed time, with days, with leap days.
WHOLE = ("*/20 * * * *", "30 2 * * *", "0,30 0-3 * * 0", "15 */3 1 * *", "0 0 29 2 *")

_MINUTE = timedelta(minutes=1)
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def walked_ticks(cron: str, tz: str, begin: datetime, end: datetime) -> list[int]:
    """The ticks from `begin` to before `end`, both in UTC, in milliseconds."""
    return list(walked_ticks_of([cron], tz, begin, end)[cron])


def walked_ticks_of(
    crons: Sequence[str], tz: str, begin: datetime, end: datetime
) -> Mapping[str, Sequence[int]]:
    """The same for several expressions. The minutes of the zone's clock are walked once, and those of the calendar once for all zones."""
    zone = ZoneInfo(tz)
    found = _real([cron for cron in crons if _follows_real_time(cron)], zone, begin, end)
    for cron in crons:
        if not _follows_real_time(cron):
            found[cron] = [_instant(wall, zone) for wall in _wall(cron, begin, end)]
    return {cron: sorted({_ms(at) for at in ticks if begin <= at < end}) for cron, ticks in found.items()}


def walked_ticks_of_distances(
    every: timedelta, anchor: datetime, begin: datetime, end: datetime
) -> list[int]:
    """The ticks of a distance of whole minutes from `begin` to before `end`, in milliseconds."""
    return [_ms(now) for now in _minutes(begin, end) if not (now - anchor) % every]


def _follows_real_time(cron: str) -> bool:
    minute, hour, *_ = cron.split()
    return minute.startswith("*") or hour.startswith("*")


def _minutes(begin: datetime, end: datetime) -> Iterator[datetime]:
    now = begin
    while now < end:
        yield now
        now += _MINUTE


def _ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000


def _real(
    crons: Sequence[str], zone: ZoneInfo, begin: datetime, end: datetime
) -> dict[str, Sequence[datetime]]:
    """Each minute that passes, where the zone's clock shows a matching time."""
    found: dict[str, list[datetime]] = {cron: [] for cron in crons}
    fields = [(_fields(cron), ticks) for cron, ticks in found.items()]
    for now in _minutes(begin, end) if crons else ():
        at = now.astimezone(zone)
        for each, ticks in fields:
            if _matches(each, at):
                ticks.append(now)
    return dict(found)


@cache
def _wall(cron: str, begin: datetime, end: datetime) -> Sequence[datetime]:
    """Each matching minute of a clock that no change touches; what is in no day of these in any zone is left out later."""
    around = (begin.replace(tzinfo=None) - timedelta(days=2), end.replace(tzinfo=None) + timedelta(days=2))
    fields = _fields(cron)
    return [now for now in _minutes(*around) if _matches(fields, now)]


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """When a zone's clock shows it: what a change leaves out is the end of that gap, of what it repeats the first counts."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    while first.astimezone(zone).replace(tzinfo=None) != wall:
        wall += _MINUTE
        first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return first


def _matches(fields: "_Fields", at: datetime) -> bool:
    if at.minute not in fields.minutes or at.hour not in fields.hours or at.month not in fields.months:
        return False
    by_day, by_weekday = at.day in fields.days, at.isoweekday() % 7 in fields.weekdays
    return by_day and by_weekday if fields.both else by_day or by_weekday


class _Fields(NamedTuple):
    """What each field of an expression takes, and whether day and weekday both have to."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both: bool


def _fields(cron: str) -> _Fields:
    texts = cron.split()
    minutes, hours, days, months, weekdays = (_values(part, place) for place, part in enumerate(texts))
    both = texts[2].startswith("*") or texts[4].startswith("*")
    return _Fields(minutes, hours, days, months, frozenset(each % 7 for each in weekdays), both)


def _values(part: str, place: int) -> frozenset[int]:
    low, high = _RANGES[place]
    found: set[int] = set()
    for term in part.split(","):
        span, _, step = term.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        end = int(last) if last else high if step else int(first)
        found.update(range(int(first), end + 1, int(step or 1)))
    return frozenset(found)
