"""Estimates the Gutenberg-Richter b-value."""

import math
from dataclasses import dataclass

import polars as pl

#: The width of a magnitude bin, in tenths; catalogues mix magnitudes of one and two decimals.
_TENTH = 0.1
#: Tenths above the fullest bin where records are taken as complete: that bin itself tends to be too low.
_CORRECTION = 2
#: With fewer, the error is as large as the differences of interest.
_FEWEST = 50


@dataclass(frozen=True, slots=True)
class BValue:
    """A b-value, its standard error, and the magnitude of completeness that it starts from."""

    value: float
    error: float
    completeness: float


def b_value(magnitudes: pl.Series) -> BValue | None:
    """The b-value by maximum likelihood; None when fewer than 50 magnitudes are complete, or all of them are the same.

    In bins of dM = 0.1, the completeness Mc is the fullest bin plus 0.2 (maximum curvature, with the correction of Woessner
    and Wiemer, Bull. Seism. Soc. Am. 95, 2005). Of the n magnitudes from Mc up, with their mean M (Aki, Bull. Earthq. Res.
    Inst. 43, 1965; the half bin after Utsu, 1966):

        b = log10(e) / (M - (Mc - dM/2))

    and its standard error (Shi and Bolt, Bull. Seism. Soc. Am. 72, 1982) is 2.30 b² times the standard error of the mean.

    It holds for magnitudes of one completeness: mixing a dense local network with the world's strong earthquakes gives
    a number far too low, which the error does not show.
    """
    tenths = _in_tenths(magnitudes)
    if tenths.is_empty():
        return None
    complete_from = _fullest(tenths) + _CORRECTION
    complete = tenths.filter(tenths >= complete_from)
    count = len(complete)
    if count < _FEWEST or complete.n_unique() == 1:
        return None
    # Sums of whole numbers are exact: every machine gives the same last digit.
    total, squares = int(complete.sum()), int((complete * complete).sum())
    mean = total / count
    variance = (squares * count - total * total) / (count * (count - 1))
    value = math.log10(math.e) / (_TENTH * (mean - complete_from + 0.5))
    error = math.log(10) * value**2 * _TENTH * math.sqrt(variance / count)
    return BValue(value, error, complete_from / 10)


def _in_tenths(magnitudes: pl.Series) -> pl.Series:
    """Whole tenths, halves up; through hundredths, so that 1.15 does not fall to 1.1 for being 1.1499999."""
    return ((magnitudes * 100).round().cast(pl.Int64) + 5) // 10


def _fullest(tenths: pl.Series) -> int:
    """The bin that holds most; the greatest of several, which errs on the complete side."""
    bins = tenths.value_counts(name="count").sort("count", tenths.name, descending=True)
    return int(bins[tenths.name][0])
