"""Draws a list of numbers as one small line."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A line over the whole width, with zero at the bottom; a value that is not known leaves a hole."""

    width: float
    height: float
    #: The data of an SVG path, and of the area below it.
    line: str
    area: str
    most: float


def sparkline(
    values: Sequence[float | None], width: float = 120, height: float = 24, most: float | None = None
) -> Sparkline:
    """The values from left to right; `most` is what the height stands for, else their greatest."""
    known = [value for value in values if value is not None]
    top = max(known, default=0.0) if most is None else most
    across = _across(len(values), width)
    line, area = list[str](), list[str]()
    for run in _runs(values):
        places = [f"{across[index]},{round(_height(value, top, height), 1):g}" for index, value in run]
        # One value alone is a point: a line of no length, which a round cap shows.
        line.append("M" + " L".join(places if len(places) > 1 else places * 2))
        left, right = across[run[0][0]], across[run[-1][0]]
        area.append(f"M{left},{height:g} L" + " L".join(places) + f" L{right},{height:g}Z")
    return Sparkline(width, height, " ".join(line), " ".join(area), top)


@lru_cache(maxsize=64)
def _across(count: int, width: float) -> tuple[str, ...]:
    """The places of so many values from left to right: they are the same for all lines of a page."""
    step = width / max(count - 1, 1)
    return tuple(f"{round(index * step, 1):g}" for index in range(count))


def _height(value: float, top: float, height: float) -> float:
    """From the top; a line as thick as 1 stays in the picture."""
    return (height - 1) - min(max(value / top, 0.0), 1.0) * (height - 2) if top > 0 else height - 1


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The values with their places, in runs without a hole."""
    runs: list[list[tuple[int, float]]] = []
    before = None
    for index, value in enumerate(values):
        if value is not None:
            if before is None:
                runs.append([])
            runs[-1].append((index, value))
        before = value
    return runs
