"""Draws what a stage did in a day: waiting, rate, durations."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mousetrap.charts.axis import Tick, clock_ticks, number_ticks
from mousetrap.charts.sparkline import Sparkline, sparkline
from mousetrap.shapes import Minute, ReadyAt

_MINUTE_MS = 60_000
#: Minutes that one column stands for, by the hours that are shown: 60 to 180 columns.
_MINUTES = {1: 1, 6: 2, 24: 10}
#: How an attempt can end, from the bottom of a column.
_OUTCOMES = ("done", "retried", "failed")
_MOST_TICKS = 6


@dataclass(frozen=True, slots=True)
class Column:
    """What was counted in one column of the chart, by outcome, and where it is drawn."""

    at_ms: int
    x: float
    width: float
    counts: Mapping[str, int]
    #: From the bottom: outcome, y and height.
    pieces: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class LineChart:
    """Lines over the same minutes, each with its name."""

    width: float
    height: float
    lines: Mapping[str, Sparkline]
    #: Along the bottom; and values with their places, from the bottom up.
    times: tuple[Tick, ...]
    values: tuple[tuple[float, float], ...]
    #: The rows of its table: when, and each line's value.
    rows: tuple[tuple[int, tuple[float | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class StackChart:
    """Columns of attempts in a minute, by how they ended."""

    width: float
    height: float
    columns: tuple[Column, ...]
    times: tuple[Tick, ...]
    values: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class DayCharts:
    """The three charts of a queue."""

    hours: int
    #: The minutes that a column stands for.
    minutes: int
    #: Jobs that waited for a worker, the most in each column.
    waiting: LineChart
    rate: StackChart
    #: How long jobs waited and ran, in seconds: the mean of each column.
    durations: LineChart


@dataclass(frozen=True, slots=True)
class _Axis:
    """The columns from left to right."""

    begin_ms: int
    #: Milliseconds of one column, and how many there are.
    step_ms: int
    count: int
    width: float
    height: float

    def place(self, at_ms: int) -> int:
        return (at_ms - self.begin_ms) // self.step_ms

    def at_ms(self, place: int) -> int:
        return self.begin_ms + place * self.step_ms

    def times(self) -> tuple[Tick, ...]:
        end_ms = self.at_ms(self.count)
        scale = self.width / (end_ms - self.begin_ms)
        ticks = clock_ticks(self.begin_ms, end_ms, _MOST_TICKS)
        return tuple(Tick(round((at_ms - self.begin_ms) * scale, 1), text) for at_ms, text in ticks)


def day_charts(
    minutes: Iterable[Minute], ready: Iterable[ReadyAt], now_ms: int, hours: int = 24, width: float = 720
) -> DayCharts:
    """The charts of the last `hours`: 1, 6 or 24; the minutes of several stages are added up."""
    each = _MINUTES[hours]
    count = hours * 60 // each
    end_ms = (now_ms // _MINUTE_MS + 1) * _MINUTE_MS
    axis = _Axis(end_ms - hours * 3_600_000, each * _MINUTE_MS, count, width, 120)
    sums = _sums(minutes, axis)
    most_ready: dict[int, int] = {}
    for look in ready:
        place = axis.place(look.at_ms)
        most_ready[place] = max(look.ready, most_ready.get(place, 0))
    waiting = _lines({"waiting": [most_ready.get(place) for place in range(count)]}, axis)
    durations = {
        "wait": _means(sums, axis, lambda it: it["wait_ms"], lambda it: it["begun"]),
        "run": _means(
            sums, axis, lambda it: it["run_ms"], lambda it: it["done"] + it["retried"] + it["failed"]
        ),
    }
    return DayCharts(hours, each, waiting, _stack(sums, axis, each), _lines(durations, axis))


def _sums(minutes: Iterable[Minute], axis: _Axis) -> Mapping[int, Mapping[str, int]]:
    """By column, what was counted in its minutes."""
    names = ("begun", *_OUTCOMES, "wait_ms", "run_ms")
    found: dict[int, dict[str, int]] = {}
    for minute in minutes:
        place = axis.place(minute.at_ms)
        if 0 <= place < axis.count:
            sums = found.setdefault(place, dict.fromkeys(names, 0))
            for name in names:
                sums[name] += getattr(minute, name)
    return found


_Read = Callable[[Mapping[str, int]], int]


def _means(
    sums: Mapping[int, Mapping[str, int]], axis: _Axis, total: _Read, count: _Read
) -> list[float | None]:
    """Seconds for each column; none where nothing was counted."""
    found = [sums.get(place) for place in range(axis.count)]
    return [total(it) / count(it) / 1000 if it is not None and count(it) else None for it in found]


def _lines(values: Mapping[str, Sequence[float | None]], axis: _Axis) -> LineChart:
    top = max((value for line in values.values() for value in line if value is not None), default=0.0)
    ticks = number_ticks(top)
    lines = {name: sparkline(line, axis.width, axis.height, ticks[-1]) for name, line in values.items()}
    columns = list(zip(*values.values(), strict=True))
    rows = tuple((axis.at_ms(place), column) for place, column in enumerate(columns) if set(column) != {None})
    return LineChart(axis.width, axis.height, lines, axis.times(), _values(ticks, axis.height), rows)


def _values(ticks: Sequence[float], height: float) -> tuple[tuple[float, float], ...]:
    return tuple((value, round(height - 1 - value / ticks[-1] * (height - 2), 1)) for value in ticks)


def _stack(sums: Mapping[int, Mapping[str, int]], axis: _Axis, minutes: int) -> StackChart:
    """Values are attempts in a minute."""
    totals = {place: sum(found[name] for name in _OUTCOMES) for place, found in sums.items()}
    ticks = number_ticks(max(totals.values(), default=0) / minutes)
    unit = (axis.height - 2) / ticks[-1] / minutes
    columns = tuple(_column(place, sums[place], axis, unit) for place in sorted(sums) if totals[place])
    return StackChart(axis.width, axis.height, columns, axis.times(), _values(ticks, axis.height))


def _column(place: int, sums: Mapping[str, int], axis: _Axis, unit: float) -> Column:
    pieces, bottom = list[tuple[str, float, float]](), axis.height - 1
    for name in _OUTCOMES:
        if sums[name]:
            # One failure among ten thousand is seen all the same.
            height = max(sums[name] * unit, 1.0)
            pieces.append((name, round(bottom - height, 1), round(height, 1)))
            bottom -= height
    width = axis.width / axis.count
    counts = {name: sums[name] for name in _OUTCOMES}
    return Column(axis.at_ms(place), round(place * width, 1), round(width * 0.85, 2), counts, tuple(pieces))
