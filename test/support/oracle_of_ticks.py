"""Finds ticks by walking each minute, slowly."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
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
    minute, hour, *_ = cron.split()
    follows_real_time = minute.startswith("*") or hour.startswith("*")
    found = (
        _real(cron, ZoneInfo(tz), begin, end) if follows_real_time else _wall(cron, ZoneInfo(tz), begin, end)
    )
    return sorted({int(tick.timestamp()) * 1000 for tick in found if begin <= tick < end})


def _real(cron: str, zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Each minute that passes, where the zone's clock shows a matching time."""
    now = begin
    while now < end:
        if _matches(cron, now.astimezone(zone)):
            yield now
        now += _MINUTE


def _wall(cron: str, zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Each minute of a clock that no change touches: a left-out one is the end of its gap, of a repeated one the first counts."""
    now = begin.replace(tzinfo=None) - timedelta(days=2)
    while now < end.replace(tzinfo=None) + timedelta(days=2):
        if _matches(cron, now):
            yield _instant(now, zone)
        now += _MINUTE


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    while first.astimezone(zone).replace(tzinfo=None) != wall:
        wall += _MINUTE
        first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return first


def _matches(cron: str, at: datetime) -> bool:
    minute, hour, day, month, weekday, both = _parts(cron)
    if at.minute not in minute or at.hour not in hour or at.month not in month:
        return False
    by_day, by_weekday = at.day in day, at.isoweekday() % 7 in weekday
    return by_day and by_weekday if both else by_day or by_weekday


@cache
def _parts(
    cron: str,
) -> tuple[frozenset[int], frozenset[int], frozenset[int], frozenset[int], frozenset[int], bool]:
    fields = cron.split()
    minute, hour, day, month, weekday = (_values(part, place) for place, part in enumerate(fields))
    both = fields[2].startswith("*") or fields[4].startswith("*")
    return minute, hour, day, month, frozenset(each % 7 for each in weekday), both


def _values(part: str, place: int) -> frozenset[int]:
    low, high = _RANGES[place]
    found: set[int] = set()
    for term in part.split(","):
        span, _, step = term.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        end = int(last) if last else high if step else int(first)
        found.update(range(int(first), end + 1, int(step or 1)))
    return frozenset(found)
