"""Writes docs/benchmarks.md."""

from collections.abc import Sequence

from benchmarks.contenders import Contender
from benchmarks.figures import Figure
from benchmarks.measures import Measure


def write_page(
    found: Sequence[tuple[Measure, Sequence[Figure]]], contenders: Sequence[Contender], rounds: int
) -> None:
    """The page."""
