"""Draws what a stage did in a day: waiting, rate, durations."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mousetrap.charts.axis import Tick, clock_ticks, duration_ticks, number_ticks
from mousetrap.charts.sparkline import Sparkline, sparkline
from mousetrap.shapes import Minute, ReadyAt

_MINUTE_MS = 60_000
#: Minutes that one column of a chart stands for, by the hours that are shown: 60 to 180 columns; and one row of the table.
_MINUTES, _TABLE_MINUTES = {1: 1, 6: 2, 24: 10}, {1: 5, 6: 30, 24: 60}
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


@dataclass(frozen=True, slots=True)
class LineChart:
    """Lines over the same minutes, each with its name."""

    width: float
    height: float
    lines: Mapping[str, Sparkline]
    #: Along the bottom; and values with their places, from the bottom up.
    times: tuple[Tick, ...]
    values: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class StackChart:
    """Columns of attempts in a minute, by how they ended."""

    width: float
    height: float
    columns: tuple[Column, ...]
    #: The data of an SVG path, by outcome: the pieces of all columns.
    pieces: Mapping[str, str]
    times: tuple[Tick, ...]
    values: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class DayRow:
    """What was counted in one row of the table; seconds are means, and what was not counted is None."""

    at_ms: int
    waiting: int | None
    done: int
    retried: int
    failed: int
    wait_s: float | None
    run_s: float | None


@dataclass(frozen=True, slots=True)
class DayCharts:
    """The three charts of a queue, and their table."""

    hours: int
    #: The minutes that a column stands for.
    minutes: int
    #: Jobs that waited for a worker, the most in each column.
    waiting: LineChart
    rate: StackChart
    #: How long jobs waited and ran, in seconds: the mean of each column.
    durations: LineChart
    table: tuple[DayRow, ...]


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
    minutes: Sequence[Minute], ready: Sequence[ReadyAt], now_ms: int, hours: int = 24, width: float = 540
) -> DayCharts:
    """The charts of the last `hours`: 1, 6 or 24; the minutes of several stages are added up."""
    each = _MINUTES[hours]
    axis = _axis(now_ms, hours, each, width)
    sums, most = _sums(minutes, axis), _most_ready(ready, axis)
    places = range(axis.count)
    waiting = _lines({"waiting": [most.get(place) for place in places]}, axis, number_ticks)
    durations = {
        "wait": [_wait_s(sums.get(place)) for place in places],
        "run": [_run_s(sums.get(place)) for place in places],
    }
    table = _table(minutes, ready, _axis(now_ms, hours, _TABLE_MINUTES[hours], width))
    return DayCharts(
        hours, each, waiting, _stack(sums, axis, each), _lines(durations, axis, duration_ticks), table
    )


def _axis(now_ms: int, hours: int, minutes: int, width: float) -> _Axis:
    """Its last column ends with the minute that is under way."""
    end_ms = (now_ms // _MINUTE_MS + 1) * _MINUTE_MS
    return _Axis(end_ms - hours * 3_600_000, minutes * _MINUTE_MS, hours * 60 // minutes, width, 120)


def _most_ready(ready: Iterable[ReadyAt], axis: _Axis) -> Mapping[int, int]:
    """By column, the most jobs that waited at a look."""
    found: dict[int, int] = {}
    for look in ready:
        place = axis.place(look.at_ms)
        if 0 <= place < axis.count:
            found[place] = max(look.ready, found.get(place, 0))
    return found


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


def _wait_s(sums: Mapping[str, int] | None) -> float | None:
    return sums["wait_ms"] / sums["begun"] / 1000 if sums and sums["begun"] else None


def _run_s(sums: Mapping[str, int] | None) -> float | None:
    ended = sum(sums[name] for name in _OUTCOMES) if sums else 0
    return sums["run_ms"] / ended / 1000 if sums and ended else None


def _table(minutes: Iterable[Minute], ready: Iterable[ReadyAt], axis: _Axis) -> tuple[DayRow, ...]:
    """Newest first, without the rows in which nothing was counted."""
    sums, most = _sums(minutes, axis), _most_ready(ready, axis)
    nothing: Mapping[str, int] = dict.fromkeys(_OUTCOMES, 0)
    return tuple(
        DayRow(
            at_ms=axis.at_ms(place),
            waiting=most.get(place),
            done=found["done"],
            retried=found["retried"],
            failed=found["failed"],
            wait_s=_wait_s(sums.get(place)),
            run_s=_run_s(sums.get(place)),
        )
        for place in sorted({*sums, *most}, reverse=True)
        for found in [sums.get(place, nothing)]
    )


def _lines(
    values: Mapping[str, Sequence[float | None]], axis: _Axis, find: Callable[[float], tuple[float, ...]]
) -> LineChart:
    top = max((value for line in values.values() for value in line if value is not None), default=0.0)
    ticks = find(top)
    lines = {name: sparkline(line, axis.width, axis.height, ticks[-1]) for name, line in values.items()}
    return LineChart(axis.width, axis.height, lines, axis.times(), _values(ticks, axis.height))


def _values(ticks: Sequence[float], height: float) -> tuple[tuple[float, float], ...]:
    return tuple((value, round(height - 1 - value / ticks[-1] * (height - 2), 1)) for value in ticks)


def _stack(sums: Mapping[int, Mapping[str, int]], axis: _Axis, minutes: int) -> StackChart:
    """Values are attempts in a minute."""
    totals = {place: sum(found[name] for name in _OUTCOMES) for place, found in sums.items()}
    ticks = number_ticks(max(totals.values(), default=0) / minutes)
    unit = (axis.height - 2) / ticks[-1] / minutes
    width = axis.width / axis.count
    columns = tuple(
        Column(
            axis.at_ms(place),
            round(place * width, 1),
            round(width * 0.85, 2),
            {name: sums[place][name] for name in _OUTCOMES},
        )
        for place in sorted(sums)
        if totals[place]
    )
    pieces: dict[str, list[str]] = {name: [] for name in _OUTCOMES}
    for column in columns:
        for name, piece in _pieces(column, axis.height - 1, unit):
            pieces[name].append(piece)
    paths = {name: "".join(found) for name, found in pieces.items() if found}
    return StackChart(axis.width, axis.height, columns, paths, axis.times(), _values(ticks, axis.height))


def _pieces(column: Column, bottom: float, unit: float) -> Iterator[tuple[str, str]]:
    """Its outcomes from the bottom up, each as a rectangle of a path."""
    for name, count in column.counts.items():
        if count:
            # One failure among ten thousand is seen all the same.
            height = max(round(count * unit, 1), 1.0)
            bottom = round(bottom - height, 1)
            yield name, f"M{column.x:g},{bottom:g}h{column.width:g}v{height:g}h-{column.width:g}Z"
