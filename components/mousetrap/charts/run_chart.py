"""Draws a run over its time, with idle times folded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

from mousetrap.charts.axis import Tick, clock_ticks
from mousetrap.charts.run_rows import PartKind, Rate, Row, Span

#: How time is drawn: what is idle as a fold, or all alike.
Scale = Literal["folded", "true"]
#: A time is folded in which nothing runs, and which is longer than a second, this share of the whole and all work together: a
#: usual wait of a run is what its reader looks for, and stays.
_FOLD_SHARE, _FOLD_MS = 0.05, 1000
#: How wide it is, how many there are, and how much of its text stands on either side.
_FOLD_WIDTH, _MOST_FOLDS, _FOLD_BESIDE = 44.0, 6, 52.0
#: Between two ticks, as wide as the longest text of one.
_TICK_WIDTH = 92.0
_LABEL_WIDTH, _NOTE_WIDTH, _LANE, _BAR, _AXIS = 150.0, 134.0, 26.0, 16.0, 24.0
#: On a narrow page labels stand above the bars.
_LABEL_ABOVE = 18.0
#: What is too short to see is drawn this wide.
_LEAST = 2.0
#: Pieces of a strip, and how wide one is at least.
_BUCKETS, _BUCKET_WIDTH = 200, 3.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of an attempt."""

    kind: PartKind
    x: float
    width: float
    begin_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Strip:
    """How many children ran in one piece of the time; of a sample, about how many began in a second."""

    x: float
    width: float
    running: int
    failed: int
    #: Of the most in any piece: 0 to 1.
    share: float
    per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """A row of the chart; `y` is the top of its bars, and its label stands at `label_y`."""

    row: Row
    y: float
    label_y: float
    bars: tuple[Bar, ...]
    strips: tuple[Strip, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """A time that is left out: a zig-zag of this path."""

    x: float
    width: float
    path: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RunChart:
    """The chart, in the units of an SVG."""

    width: float
    height: float
    #: Where time begins and ends, and how high a bar is.
    left: float
    right: float
    bar: float
    lanes: tuple[Lane, ...]
    folds: tuple[Fold, ...]
    ticks: tuple[Tick, ...]
    begin_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A time and where it is drawn."""

    begin_ms: int
    end_ms: int
    x: float
    width: float
    folded: bool

    def at(self, at_ms: float) -> float:
        return self.x + self.width * (at_ms - self.begin_ms) / max(self.end_ms - self.begin_ms, 1)


def run_chart(
    rows: Sequence[Row], scale: Scale = "folded", only: str = "", width: float = 900, narrow: bool = False
) -> RunChart:
    """The chart of these rows; of the row with the name `only` alone, where there is one."""
    shown = [row for row in rows if row.name == only] or list(rows)
    times = [ms for row in shown for ms in row.times]
    begin_ms, end_ms = min(times, default=0), max(times, default=0)
    end_ms = max(end_ms, begin_ms + 1)
    left, right = (4.0, width - 4.0) if narrow else (_LABEL_WIDTH, width - _NOTE_WIDTH)
    idle = list(_idle(shown, begin_ms, end_ms)) if scale == "folded" else []
    pieces = _pieces(begin_ms, end_ms, idle, left, right)
    lane = _LANE + (_LABEL_ABOVE if narrow else 0)
    above = _LABEL_ABOVE if narrow else (_LANE - _BAR) / 2
    lanes = tuple(
        Lane(
            row,
            y=index * lane + above,
            label_y=index * lane + (above - 5 if narrow else above + _BAR - 4),
            bars=tuple(_bars(row, pieces)),
            strips=tuple(_rates(row.rates, pieces) if row.rates else _strips(row.spans, pieces, left, right)),
        )
        for index, row in enumerate(shown)
    )
    bottom = len(shown) * lane
    folds = tuple(_fold(piece, bottom) for piece in pieces if piece.folded)
    ticks = tuple(_ticks(pieces))
    return RunChart(width, bottom + _AXIS, left, right, _BAR, lanes, folds, ticks, begin_ms, end_ms)


def _idle(rows: Sequence[Row], begin_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """The times to fold."""
    work = _united(span for row in rows for span in row.work)
    busy = sum(end - begin for begin, end in work)
    edges = [begin_ms, *(ms for span in work for ms in span), end_ms]
    gaps = list(zip(edges[::2], edges[1::2], strict=True))
    least = max((end_ms - begin_ms) * _FOLD_SHARE, busy, _FOLD_MS)
    # Without any work there is nothing to make room for.
    longest = sorted(gaps, key=lambda gap: gap[0] - gap[1])[:_MOST_FOLDS] if work else []
    yield from sorted(gap for gap in longest if gap[1] - gap[0] > least)


def _united(spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same times without overlaps, in order."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


def _pieces(
    begin_ms: int, end_ms: int, idle: Sequence[tuple[int, int]], left: float, right: float
) -> tuple[_Piece, ...]:
    """The whole time in pieces, the folded ones as wide as a fold."""
    edges = [begin_ms, *(ms for gap in idle for ms in gap), end_ms]
    shown = end_ms - begin_ms - sum(end - begin for begin, end in idle)
    unit = (right - left - _FOLD_WIDTH * len(idle)) / max(shown, 1)
    pieces, x = list[_Piece](), left
    for index, (begin, end) in enumerate(pairwise(edges)):
        folded = index % 2 == 1
        width = _FOLD_WIDTH if folded else (end - begin) * unit
        if end > begin:
            pieces.append(_Piece(begin, end, x, width, folded))
            x += width
    return tuple(pieces)


def _place(pieces: Sequence[_Piece], at_ms: float) -> float:
    piece = next((piece for piece in pieces if at_ms <= piece.end_ms), pieces[-1])
    return piece.at(at_ms)


def _bars(row: Row, pieces: Sequence[_Piece]) -> Iterator[Bar]:
    for part in row.parts:
        x, end = _place(pieces, part.begin_ms), _place(pieces, part.end_ms)
        yield Bar(part.kind, round(x, 1), round(max(end - x, _LEAST), 1), part.begin_ms, part.end_ms)


def _rates(rates: Sequence[Rate], pieces: Sequence[_Piece]) -> Iterator[Strip]:
    most = max(rate.per_second for rate in rates)
    for rate in rates:
        x, end = (round(_place(pieces, ms), 1) for ms in (rate.begin_ms, rate.end_ms))
        share = round(rate.per_second / most, 2) if most else 0.0
        yield Strip(x, round(end - x, 1), 0, 0, share, rate.per_second)


def _strips(spans: Sequence[Span], pieces: Sequence[_Piece], left: float, right: float) -> Iterator[Strip]:
    """How many ran in each of up to 200 pieces of the width: equal neighbours are one, and those without any are left out."""
    if not spans:
        return
    count = min(_BUCKETS, int((right - left) / _BUCKET_WIDTH))
    step = (right - left) / count
    levels, failed = _levels(spans, pieces, left, count, step)
    most = max(levels)
    begin = 0
    for index in range(1, count + 1):
        if index < count and levels[index] == levels[begin] and not failed[index] and not failed[begin]:
            continue
        if levels[begin]:
            x, end = round(left + begin * step, 1), round(left + index * step, 1)
            share = round(levels[begin] / most, 2)
            yield Strip(x, round(end - x, 1), levels[begin], failed[begin], share)
        begin = index


def _levels(
    spans: Sequence[Span], pieces: Sequence[_Piece], left: float, count: int, step: float
) -> tuple[list[int], list[int]]:
    """By piece, how many ran, and how many failed at their end."""
    changes, failed = [0] * (count + 1), [0] * count
    for span in spans:
        first, last = (
            min(max(int((_place(pieces, ms) - left) / step), 0), count - 1)
            for ms in (span.begin_ms, span.end_ms)
        )
        changes[first] += 1
        changes[last + 1] -= 1
        failed[last] += span.failed
    return list(accumulate(changes[:-1])), failed


def _fold(piece: _Piece, height: float) -> Fold:
    """A zig-zag from the top to the bottom of the rows."""
    middle, half, step = piece.x + piece.width / 2, 5.0, 10.0
    turns = [
        f"{round(middle + (half if index % 2 else -half), 1):g},{round(min(index * step, height), 1):g}"
        for index in range(int(height / step) + 2)
    ]
    seconds = (piece.end_ms - piece.begin_ms) / 1000
    return Fold(round(piece.x, 1), round(piece.width, 1), "M" + " L".join(turns), seconds)


def _ticks(pieces: Sequence[_Piece]) -> Iterator[Tick]:
    """Round moments in each time that is not folded, as many as have room beside the texts of folds."""
    free = pieces[0].x
    for index, piece in enumerate(pieces):
        if piece.folded:
            continue
        first = max(free, piece.x + (_FOLD_BESIDE if index else 0))
        last = piece.x + piece.width - (_FOLD_BESIDE if index + 1 < len(pieces) else 0)
        for at_ms, text in clock_ticks(piece.begin_ms, piece.end_ms, int(piece.width / _TICK_WIDTH)):
            if first <= (x := piece.at(at_ms)) <= last:
                yield Tick(round(x, 1), text)
                free = first = x + _TICK_WIDTH * 0.9
