"""Finds round places on an axis, of numbers and of times."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor, log10

#: Round steps of time, in milliseconds: up to a second by tens, then as clocks and calendars have them.
_STEPS_MS = (
    *(factor * 10**power for power in range(3) for factor in (1, 2, 5)),
    *(seconds * 1000 for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * 60_000 for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * 3_600_000 for hours in (1, 2, 3, 6, 12, 24, 48, 168, 720, 8760)),
)
_SECOND_MS, _DAY_MS = 1000, 86_400_000
#: The end of what a calendar has: of the year 9999.
_LAST_MS = 253_402_300_799_999
#: What durations are written in, in seconds.
_UNITS_S = (86_400, 3_600, 60, 1, 0.001)


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis, in the picture's units."""

    at: float
    text: str


def clock_ticks(begin_ms: float, end_ms: float, most: int) -> Iterator[tuple[int, str]]:
    """At most so many round moments from begin to end, with their time of day in UTC; whole days with their date."""
    if most < 1 or begin_ms < 0 or end_ms > _LAST_MS:  # from a damaged record
        return
    span = end_ms - begin_ms
    step = next((step for step in _STEPS_MS if span / step <= most), _STEPS_MS[-1])
    first = ceil(begin_ms / step)
    for index in range(min(most, floor(end_ms / step) - first + 1)):
        at_ms = (first + index) * step
        yield at_ms, _clock(at_ms, step)


def number_ticks(most: float, count: int = 2) -> tuple[float, ...]:
    """Round numbers from zero; the last one is `most` or above. About `count` beside zero."""
    if most <= 0:
        return (0.0, 1.0)
    rough = most / count
    size = 10.0 ** floor(log10(rough))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough * 0.999_999)
    return tuple(round(step * index, 9) for index in range(ceil(most / step * 0.999_999) + 1))


def duration_ticks(most_s: float) -> tuple[float, ...]:
    """The same for seconds: round in the unit that they are written in, as 10 min."""
    unit = next((unit for unit in _UNITS_S if most_s >= unit), _UNITS_S[-1])
    return tuple(value * unit for value in number_ticks(most_s / unit))


def _clock(at_ms: int, step: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    if step >= _DAY_MS:
        return f"{moment.day} {moment:%b}"
    if step >= 60_000:
        return f"{moment:%H:%M}"
    if step >= _SECOND_MS:
        return f"{moment:%H:%M:%S}"
    digits = 4 - len(str(step))
    return f"{moment:%H:%M:%S}.{at_ms % 1000:03}"[: len("10:04:02.") + digits]
