"""Round places on axes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.charts import clock_ticks, duration_ticks, number_ticks

TEN_MS = 1_796_032_800_000  # 2026-11-30 10:00 UTC


@pytest.mark.parametrize(
    ("seconds", "most", "texts"),
    [
        (0.004, 4, ["10:00:00.001", "10:00:00.002", "10:00:00.003", "10:00:00.004"]),
        (0.5, 5, ["10:00:00.1", "10:00:00.2", "10:00:00.3", "10:00:00.4", "10:00:00.5"]),
        (0.09, 5, ["10:00:00.02", "10:00:00.04", "10:00:00.06", "10:00:00.08"]),
        (60, 4, ["10:00:15", "10:00:30", "10:00:45", "10:01:00"]),
        (3600, 4, ["10:15", "10:30", "10:45", "11:00"]),
        (86_400, 5, ["12:00", "18:00", "00:00", "06:00"]),
        (864_000, 5, ["1 Dec", "3 Dec", "5 Dec", "7 Dec", "9 Dec"]),
        (60, 0, []),
    ],
)
def test_times_are_round(seconds: float, most: int, texts: list[str]) -> None:
    found = list(clock_ticks(TEN_MS + 1, TEN_MS + seconds * 1000, most))

    assert [text for _, text in found] == texts


@given(st.integers(0, 4 * 10**12), st.floats(0, 4 * 10**12), st.integers(0, 20))
def test_times_are_in_order_and_within(begin_ms: int, span_ms: float, most: int) -> None:
    found = [at_ms for at_ms, _ in clock_ticks(begin_ms, begin_ms + span_ms, most)]

    assert len(found) <= most
    assert found == sorted(set(found))
    assert all(begin_ms <= at_ms <= begin_ms + span_ms for at_ms in found)


@given(st.floats(1e-6, 1e12))
def test_numbers_reach_the_greatest_in_few_steps(most: float) -> None:
    ticks = number_ticks(most)

    assert ticks[0] == 0 and ticks[-2] < most <= ticks[-1] * 1.001
    assert 2 <= len(ticks) <= 4


@pytest.mark.parametrize(
    ("most", "ticks"), [(0, (0, 1)), (1, (0, 0.5, 1)), (7, (0, 5, 10)), (312, (0, 200, 400))]
)
def test_numbers_are_round(most: float, ticks: tuple[float, ...]) -> None:
    assert number_ticks(most) == ticks


@pytest.mark.parametrize(
    ("most_s", "ticks"),
    [
        (0, (0, 0.001)),
        (0.3, (0, 0.2, 0.4)),
        (7, (0, 5, 10)),
        (900, (0, 600, 1200)),
        (9000, (0, 7200, 14_400)),
    ],
)
def test_durations_are_round_in_their_unit(most_s: float, ticks: tuple[float, ...]) -> None:
    assert duration_ticks(most_s) == pytest.approx(ticks)


@pytest.mark.parametrize(("begin_ms", "end_ms"), [(-5, 10), (0, 10**15), (10**18, 10**18 + 1000), (5, 1e300)])
def test_times_that_no_calendar_has_get_no_marks(begin_ms: float, end_ms: float) -> None:
    assert list(clock_ticks(begin_ms, end_ms, 5)) == []
