"""The figures of a measure, and their summary over rounds."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of one round: `row` and `column` are its place in the table of that title."""

    table: str
    row: str
    column: str
    #: None where it could not be measured; then `note` has the reason.
    value: float | None
    unit: str
    round: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """The summary of all rounds."""

    median: float
    lowest: float
    highest: float
    rounds: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A ratio that is asked for, and what it came to; None where it could not be measured."""

    what: str
    asked: str
    found: Cell | None


def cell(values: Iterable[float | None]) -> Cell | None:
    """The rounds that counted as one; None where there was none."""
    good = [value for value in values if value is not None]
    return Cell(statistics.median(good), min(good), max(good), len(good)) if good else None


def ratio(
    of: Sequence[Figure], to: Sequence[Figure], best: Callable[[Iterable[float]], float] = max
) -> Cell | None:
    """`of` by the best of `to`, divided round by round: what slows a round slows both. By nothing it is not divided.

    CPU is counted in hundredths of a second: a quick round may have none.
    """
    quotients = []
    for figure in of:
        others = [other.value for other in to if other.round == figure.round and other.value]
        if figure.value is not None and others:
            quotients.append(figure.value / best(others))
    return cell(quotients)


def some(figures: Iterable[Figure], table: str, column: str, rows: Iterable[str]) -> list[Figure]:
    """The figures of these rows in one column of a table."""
    wanted = set(rows)
    return [f for f in figures if f.table == table and f.column == column and f.row in wanted]
