"""Decides whether a ratio of two checkouts is worth quoting."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

#: Fewer rounds show nothing.
_LEAST = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """The ratios of all rounds as one."""

    rounds: int
    median: float
    lowest: float
    highest: float
    #: From the first quartile to the third: half of the rounds are within it. It does not grow with more rounds, as the range does.
    spread: float

    @classmethod
    def of(cls, ratios: Iterable[float]) -> Self:
        """Of one ratio for each round. Without any, nothing is quoted."""
        found = list(ratios)
        if not found:
            return cls(0, 1.0, 1.0, 1.0, 0.0)
        first, _, third = (
            statistics.quantiles(found, n=4, method="inclusive") if len(found) > 1 else (0, 0, 0)
        )
        return cls(len(found), statistics.median(found), min(found), max(found), third - first)

    @property
    def effect(self) -> float:
        """How far the median is from no difference."""
        return abs(self.median - 1)

    @property
    def counts(self) -> bool:
        """Whether the difference is larger than what the rounds differ by among themselves."""
        return self.rounds >= _LEAST and self.effect > self.spread

    def __str__(self) -> str:
        if self.rounds < _LEAST:
            return f"not quoted: {self.rounds} rounds, and {_LEAST} are the least"
        about = f"spread {self.spread:.3f}, rounds {self.lowest:.3f} to {self.highest:.3f}"
        if not self.counts:
            return f"no difference to quote: the effect, {self.effect:.3f}, is within the {about}"
        return f"{self.median:.3f} ({about})"
