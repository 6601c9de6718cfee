"""Finds the ticks of a schedule, as milliseconds since 1970."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import takewhile
from uuid import UUID, uuid5

from mousetrap.schedules.schedule import Schedule

#: Any constant would do; changing it would fire ticks again that were fired before.
_TICKS = UUID("5c1f7a52-94de-5b60-b1a5-0c2f6f3f4c11")
_MS = timedelta(milliseconds=1)
_HOUR_MS = 3_600_000
_DAY_S = 86_400
_START = datetime(1970, 1, 1)
#: Ticks are looked for in the last hour, then in the last day, and so on, up to a hundred years.
_WINDOWS_MS = tuple(_HOUR_MS * hours for hours in (1, 24, 24 * 30, 24 * 366, 24 * 366 * 10, 24 * 36_600))
#: The last time that a datetime can have in each zone.
_LAST_MS = 253_402_128_000_000


def ticks_after(schedule: Schedule, after_ms: int) -> Iterator[int]:
    """The ticks after a moment, in their order; without end but for the calendar's.

    A time that a clock change leaves out fires at its end, and one that it repeats fires the first time. Where minute or hour begin with
    `*`, the expression follows real time.
    """
    if schedule.cron is None:
        yield from _spaced(schedule, after_ms)
    else:
        yield from _by_cron(schedule.cron, _zone(schedule.tz), after_ms)


def next_tick(schedule: Schedule, after_ms: int) -> int | None:
    """The first tick after a moment; None where the calendar ends before."""
    return next(ticks_after(schedule, after_ms), None)


def ticks_between(schedule: Schedule, after_ms: int, until_ms: int) -> Iterator[int]:
    """The ticks after the one moment, up to and with the other."""
    return takewhile(lambda tick: tick <= until_ms, ticks_after(schedule, after_ms))


def newest_ticks(schedule: Schedule, after_ms: int, until_ms: int, most: int) -> list[int]:
    """The last of these ticks, at most so many, in their order. An outage of a year costs no walk over the year."""
    for window in _WINDOWS_MS:
        begin = max(after_ms, until_ms - window)
        found = list(ticks_between(schedule, begin, until_ms))
        if len(found) >= most or begin == after_ms:
            return found[-most:]
    return found


def fires_at(schedule: Schedule, tick_ms: int) -> int:
    """When a tick fires: at its time, or up to the jitter later. All schedulers find the same."""
    if not schedule.jitter:
        return tick_ms
    digest = hashlib.sha256(f"{schedule.name}|{tick_ms}".encode()).digest()
    return tick_ms + int.from_bytes(digest[:8]) % (schedule.jitter // _MS + 1)


def run_id_of_tick(schedule: Schedule, created_ms: int, tick_ms: int) -> str:
    """The id of the tick's run: who fires it again, or beside another, finds that run."""
    return uuid5(_TICKS, f"{schedule.name}|{created_ms}|{tick_ms}").hex


def words(schedule: Schedule) -> str:
    """When it fires, in words."""
    if schedule.cron is None:
        return f"every {_span(schedule.every or timedelta())}"
    from cronsim import CronSim

    return f"{CronSim(schedule.cron, datetime(2024, 1, 1, tzinfo=UTC)).explain()} ({schedule.tz})"


def in_zone(schedule: Schedule, tick_ms: int) -> str:
    """The tick in the schedule's zone, in ISO 8601."""
    return _at(tick_ms, _zone(schedule.tz)).isoformat()


def _spaced(schedule: Schedule, after_ms: int) -> Iterator[int]:
    assert schedule.every is not None
    step = schedule.every // _MS
    anchor_ms = (schedule.anchor - datetime(1970, 1, 1, tzinfo=UTC)) // _MS
    tick = anchor_ms + ((after_ms - anchor_ms) // step + 1) * step
    while tick <= _LAST_MS:
        yield tick
        tick += step


def _by_cron(cron: str, zone: tzinfo, after_ms: int) -> Iterator[int]:
    minute, hour, *_ = cron.split()
    follows_real_time = minute.startswith("*") or hour.startswith("*")
    find = _by_real_time if follows_real_time and zone is not UTC else _by_wall_clock
    last_s = after_ms // 1000
    # The clock of a zone can be set back to before that moment, or to before the last tick.
    for tick_s in find(cron, zone, last_s):
        if tick_s * 1000 > _LAST_MS:
            return
        if tick_s > last_s:
            yield tick_s * 1000
            last_s = tick_s


def _by_wall_clock(cron: str, zone: tzinfo, after_s: int) -> Iterator[int]:
    """Times in seconds: each that the zone's clock should show, once."""
    from cronsim import CronSim

    for found in CronSim(cron, datetime.fromtimestamp(after_s, zone)):
        yield int(found.timestamp())


def _by_real_time(cron: str, zone: tzinfo, after_s: int) -> Iterator[int]:
    """Times in seconds: each time that the zone's clock does show one.

    From one clock change to the next the clock is as far from UTC: the library is asked for each such span alone. Asked for a zone, it
    leaves out times after a change of half an hour, and gives midnights that do not exist.
    """
    wall = _wall(after_s, _offset_s(zone, after_s))
    while True:
        change_s = None
        for tick_s in _of_wall(cron, wall, _offset_s(zone, after_s)):
            if (change_s := _next_change(zone, after_s, tick_s)) is not None:
                break
            yield tick_s
            after_s = tick_s
        if change_s is None:
            return
        # What fires at the change itself fires by the new clock.
        after_s = change_s
        wall = _wall(change_s - 1, _offset_s(zone, change_s))


def _of_wall(cron: str, wall: datetime, offset_s: int) -> Iterator[int]:
    """The moments of the times after this one on a clock that stays so far from UTC."""
    from cronsim import CronSim

    for found in CronSim(cron, wall):
        yield int((found - _START).total_seconds()) - offset_s


def _wall(at_s: int, offset_s: int) -> datetime:
    return _START + timedelta(seconds=at_s + offset_s)


def _next_change(zone: tzinfo, after_s: int, until_s: int) -> int | None:
    """When the zone's clock is changed next, up to a moment; no zone changes it twice in a day."""
    before = _offset_s(zone, after_s)
    low = after_s
    while low < until_s:
        high = min(low + _DAY_S, until_s)
        if _offset_s(zone, high) != before:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset_s(zone, middle) == before else (low, middle)
            return high
        low = high
    return None


def _offset_s(zone: tzinfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, zone).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def _at(ms: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(ms // 1000, zone)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def _span(every: timedelta) -> str:
    """The longest unit that it is a whole number of."""
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if not every % timedelta(seconds=unit):
            count = every // timedelta(seconds=unit)
            return name if count == 1 else f"{count} {name}s"
    return f"{every // _MS} milliseconds"
