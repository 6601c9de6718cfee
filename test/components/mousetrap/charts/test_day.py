"""Charts of a day."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.charts import day_charts
from mousetrap.shapes import Minute, ReadyAt

NOON_MS = 1_796_040_000_000  # 2026-11-30 12:00 UTC
MINUTE_MS = 60_000


def test_minutes_are_added_up_in_columns() -> None:
    minutes = [
        Minute(
            at_ms=NOON_MS - 15 * MINUTE_MS, begun=4, done=2, retried=1, failed=1, wait_ms=2000, run_ms=8000
        ),
        Minute(at_ms=NOON_MS - 14 * MINUTE_MS, begun=6, done=6, wait_ms=3000, run_ms=2000),
    ]

    charts = day_charts(minutes, [], NOON_MS - 1, width=720)

    (column,) = charts.rate.columns
    assert column.counts == {"done": 8, "retried": 1, "failed": 1}
    assert charts.rate.values[-1] == (1.0, 1.0)
    assert charts.rate.pieces == {
        "done": "M710,24.6h4.25v94.4h-4.25Z",
        "retried": "M710,12.8h4.25v11.8h-4.25Z",
        "failed": "M710,1h4.25v11.8h-4.25Z",
    }
    (row,) = charts.table
    assert (row.done, row.retried, row.failed, row.wait_s, row.run_s) == (8, 1, 1, 0.5, 1.0)
    assert charts.minutes == 10 and column.at_ms == NOON_MS - 20 * MINUTE_MS


def test_the_most_that_waited_in_a_column_is_shown() -> None:
    ready = [
        ReadyAt(at_ms=NOON_MS - ago * MINUTE_MS, ready=number) for ago, number in ((1, 3), (2, 9), (4, 1))
    ]

    charts = day_charts([], ready, NOON_MS - 1, hours=6, width=720)

    assert [row.waiting for row in charts.table] == [9]
    assert charts.waiting.lines["waiting"].line == "M716,107.2 L720,12.8"
    assert charts.waiting.values[0] == (0, 119)
    assert charts.waiting.values[-1] == (10, 1)


@pytest.mark.parametrize(("hours", "columns"), [(1, 60), (6, 180), (24, 144)])
def test_as_many_columns_as_can_be_seen(hours: int, columns: int) -> None:
    minutes = [Minute(at_ms=NOON_MS - ago * MINUTE_MS, done=1) for ago in range(1, 1500)]

    charts = day_charts(minutes, [], NOON_MS - 1, hours)

    assert len(charts.rate.columns) == columns
    assert {sum(it.counts.values()) for it in charts.rate.columns} == {charts.minutes}
    assert 2 <= len(charts.rate.times) <= 6


def test_a_day_without_work_is_an_empty_chart() -> None:
    charts = day_charts([], [], NOON_MS)

    assert (charts.rate.columns, charts.rate.pieces, charts.table) == ((), {}, ())
    assert charts.waiting.lines["waiting"].line == ""


@given(
    st.lists(
        st.tuples(st.integers(-(10**8), 10**8), st.integers(0, 10**7), st.integers(0, 10**7)), max_size=50
    ),
    st.sampled_from((1, 6, 24)),
)
def test_every_column_is_in_the_picture(found: list[tuple[int, int, int]], hours: int) -> None:
    minutes = [Minute(at_ms=NOON_MS + at, done=done, failed=failed) for at, done, failed in found]

    rate = day_charts(minutes, [], NOON_MS, hours).rate

    for column in rate.columns:
        assert column.x >= 0 and column.x + column.width <= rate.width + 0.1
    tops = [float(it) for path in rate.pieces.values() for it in re.findall(r"M[^,]*,([^h]*)", path)]
    assert all(-1.1 <= top <= rate.height for top in tops)
