"""Tests the b-value against known numbers and laws."""

import math

import polars as pl
import pytest

from mousetrap.process_data.b_value import b_value


def _law(slope: float, count: int) -> list[float]:
    """A catalogue complete from 1.0, in bins of a tenth, whose counts fall by 10**-slope per magnitude."""
    return [
        1.0 + tenths / 10 for tenths in range(60) for _ in range(round(count * 10 ** (-slope * tenths / 10)))
    ]


@pytest.mark.parametrize("slope", [0.7, 1.0, 1.3])
def test_a_law_of_known_slope_is_found_again(slope: float) -> None:
    law = b_value(pl.Series("magnitude", _law(slope, 20_000)))

    assert law is not None
    assert law.value == pytest.approx(slope, abs=0.02)
    assert law.completeness == 1.2


def test_the_formula_is_the_documented_one() -> None:
    # given a fullest bin at 1.0, hence Mc = 1.2, and 60 complete ones: 30 at 1.2, 20 at 1.3, 10 at 1.6
    magnitudes = [1.0] * 40 + [1.1] * 5 + [1.2] * 30 + [1.3] * 20 + [1.6] * 10

    law = b_value(pl.Series("magnitude", magnitudes))

    assert law is not None
    mean = (30 * 1.2 + 20 * 1.3 + 10 * 1.6) / 60
    value = 0.4342944819 / (mean - 1.15)
    squares = 30 * (1.2 - mean) ** 2 + 20 * (1.3 - mean) ** 2 + 10 * (1.6 - mean) ** 2
    assert law.value == pytest.approx(value)
    assert law.error == pytest.approx(2.302585 * value**2 * math.sqrt(squares / (60 * 59)))
    assert law.completeness == 1.2


@pytest.mark.parametrize(
    ("magnitude", "completeness"),
    [(1.15, 1.4), (2.05, 2.3), (1.149, 1.4), (1.14, 1.3), (-0.25, 0.0), (-0.26, -0.1)],
)
def test_magnitudes_of_two_decimals_fall_into_tenths_halves_up(magnitude: float, completeness: float) -> None:
    law = b_value(pl.Series("magnitude", [magnitude] * 90 + [5.0] * 49 + [6.0]))

    assert law is not None
    assert law.completeness == completeness


@pytest.mark.parametrize(
    "magnitudes",
    [[], [1.0], [1.0] * 500, [1.0] * 100 + [1.2] * 25 + [1.3] * 24, [1.0] * 100 + [3.0] * 80],
)
def test_too_few_or_all_the_same_have_no_b_value(magnitudes: list[float]) -> None:
    assert b_value(pl.Series("magnitude", magnitudes, dtype=pl.Float64)) is None
