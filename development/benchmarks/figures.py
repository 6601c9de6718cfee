"""What a measure gives: plain figures, and what is made of several rounds of them."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of one round: `row` and `column` are its place in the table of that title."""

    table: str
    row: str
    column: str
    #: None where it could not be measured; then `note` says why.
    value: float | None
    unit: str
    round: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """What all rounds say together."""

    median: float
    lowest: float
    highest: float
    rounds: int
    unit: str


def cell(figures: Iterable[Figure]) -> Cell | None:
    """The rounds that counted as one; None where there was none."""
    good = [(figure.value, figure.unit) for figure in figures if figure.value is not None]
    if not good:
        return None
    values = [value for value, _ in good]
    return Cell(statistics.median(values), min(values), max(values), len(values), good[0][1])


def ratio(figures: Sequence[Figure], of: str, to: str) -> Cell | None:
    """`of` by `to` (rows of one table's column), divided round by round: what slows a round slows both."""
    by_round = {(figure.row, figure.round): figure.value for figure in figures}
    quotients = [
        Figure("", of, "", ours / theirs, "times", number)
        for (row, number), ours in by_round.items()
        if row == of and ours is not None and (theirs := by_round.get((to, number)))
    ]
    return cell(quotients)
