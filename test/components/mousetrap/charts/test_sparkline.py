"""Small lines."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mousetrap.charts import sparkline


def test_a_line_goes_from_left_to_right_with_zero_at_the_bottom() -> None:
    drawn = sparkline([0, 5, 10], width=100, height=22)

    assert drawn.line == "M0,21 L50,11 L100,1"
    assert drawn.area == "M0,22 L0,21 L50,11 L100,1 L100,22Z"
    assert drawn.most == 10


def test_what_is_not_known_is_a_hole_and_a_value_alone_a_point() -> None:
    drawn = sparkline([None, 4, None, 2, 4], width=100, height=22)

    assert drawn.line == "M25,1 L25,1 M75,11 L100,1"


def test_nothing_is_an_empty_line_and_zeros_are_the_bottom() -> None:
    assert sparkline([]).line == sparkline([None]).line == ""
    assert sparkline([0, 0], width=10, height=12).line == "M0,11 L10,11"


@given(st.lists(st.none() | st.floats(0, 1e15), max_size=200), st.floats(0, 1e9))
def test_every_point_is_in_the_picture(values: list[float | None], most: float) -> None:
    drawn = sparkline(values, 120, 24, most)

    numbers = [float(it) for it in re.findall(r"-?[\d.]+(?:e[-+]?\d+)?", f"{drawn.line} {drawn.area}")]
    assert all(0 <= x <= 120 for x in numbers[::2])
    assert all(0 <= y <= 24 for y in numbers[1::2])
