"""Charts of a run over its time."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.charts import Part, PartKind, Rate, Row, Scale, Span, run_chart

NOON_MS = 1_796_040_000_000
HOUR_MS = 3_600_000
KINDS: tuple[PartKind, ...] = ("waited", "delayed", "locked", "ran", "failed", "lost")


def a_row(name: str, *parts: tuple[PartKind, int, int]) -> Row:
    return Row(
        name=name,
        stage=name,
        parts=tuple(Part(kind, NOON_MS + begin, NOON_MS + end) for kind, begin, end in parts),
    )


RETRIED = [
    a_row("a-1", ("waited", 0, 100), ("failed", 100, 900)),
    a_row("a-2", ("delayed", 900, 3 * HOUR_MS), ("ran", 3 * HOUR_MS, 3 * HOUR_MS + 1000)),
]


def test_hours_in_which_nothing_ran_are_folded() -> None:
    chart = run_chart(RETRIED)

    (fold,) = chart.folds
    assert fold.seconds == pytest.approx(3 * 3600 - 0.9)
    assert fold.width == 44
    failed, ran = chart.lanes[0].bars[1], chart.lanes[1].bars[1]
    assert failed.width > 200 and ran.width > 200
    assert ran.x + ran.width == pytest.approx(chart.right, abs=0.2)
    delayed = chart.lanes[1].bars[0]
    assert delayed.x == pytest.approx(fold.x, abs=0.2) and delayed.width == pytest.approx(44, abs=0.2)


def test_the_true_scale_folds_nothing() -> None:
    chart = run_chart(RETRIED, "true")

    assert chart.folds == ()
    assert chart.lanes[0].bars[1].width == 2.0


def test_a_usual_wait_is_not_folded() -> None:
    chart = run_chart([a_row("a-1", ("waited", 0, 400), ("ran", 400, 1000))])

    assert chart.folds == ()
    waited, ran = chart.lanes[0].bars
    assert waited.width / ran.width == pytest.approx(4 / 6, rel=0.01)


def test_what_only_waits_is_drawn_over_the_whole_width() -> None:
    chart = run_chart([a_row("a-1", ("waited", 0, 5 * HOUR_MS))])

    assert chart.folds == ()
    assert chart.lanes[0].bars[0].width == pytest.approx(chart.right - chart.left, abs=0.2)


def test_one_attempt_can_be_looked_at_alone() -> None:
    chart = run_chart(RETRIED, only="a-1")

    assert [lane.row.name for lane in chart.lanes] == ["a-1"]
    assert (chart.begin_ms, chart.end_ms) == (NOON_MS, NOON_MS + 900)
    assert [tick.text for tick in chart.ticks][:2] == ["12:00:00.0", "12:00:00.2"]


def test_ten_thousand_children_are_at_most_200_pieces() -> None:
    spans = tuple(
        Span(NOON_MS + index * 10, NOON_MS + index * 10 + 400, index % 1000 == 7) for index in range(10_000)
    )

    (lane,) = run_chart([Row(name="b", stage="b", spans=spans)]).lanes

    assert 1 < len(lane.strips) <= 200
    assert all(one.x + one.width <= two.x + 0.01 for one, two in pairwise(lane.strips))
    assert max(strip.share for strip in lane.strips) == 1.0
    assert sum(strip.failed for strip in lane.strips) == 10


def test_children_that_ran_alike_are_one_piece() -> None:
    spans = (Span(NOON_MS, NOON_MS + 1000), Span(NOON_MS + 500, NOON_MS + 1000))

    (lane,) = run_chart([Row(name="b", stage="b", spans=spans)]).lanes

    assert [(strip.running, strip.share) for strip in lane.strips] == [(1, 0.5), (2, 1.0)]
    assert lane.strips[0].x + lane.strips[0].width == lane.strips[1].x


def test_a_sample_is_drawn_by_how_many_began() -> None:
    rates = (Rate(NOON_MS, NOON_MS + 1000, 100), Rate(NOON_MS + 1000, NOON_MS + 2000, 50))

    (lane,) = run_chart([Row(name="b", stage="b", rates=rates)]).lanes

    assert [(strip.per_second, strip.share) for strip in lane.strips] == [(100, 1.0), (50, 0.5)]
    assert lane.strips[0].width == pytest.approx(lane.strips[1].width, abs=0.2)


def test_less_than_a_second_is_not_folded() -> None:
    assert run_chart([a_row("a-1", ("waited", 0, 900), ("ran", 900, 910))]).folds == ()


def test_a_damaged_time_is_drawn_all_the_same() -> None:
    chart = run_chart([a_row("a-1", ("ran", 0, 10**18)), a_row("a-2", ("waited", -(10**18), 5))])

    assert len(chart.lanes) == 2 and chart.ticks == ()


def test_nothing_is_a_chart_too() -> None:
    assert run_chart([]).lanes == ()
    assert run_chart([Row(name="a", stage="a")]).lanes[0].bars == ()


parts = st.tuples(st.sampled_from(KINDS), st.integers(0, 10**9), st.integers(0, 10**7))


@given(st.lists(st.lists(parts, max_size=5), max_size=8), st.sampled_from(("folded", "true")), st.booleans())
def test_every_bar_is_in_the_picture_and_later_ones_are_not_before(
    rows: list[list[tuple[PartKind, int, int]]], scale: Scale, narrow: bool
) -> None:
    given_rows = [
        a_row(str(index), *((kind, begin, begin + span) for kind, begin, span in row))
        for index, row in enumerate(rows)
    ]
    chart = run_chart(given_rows, scale, width=360 if narrow else 900, narrow=narrow)

    bars = [bar for lane in chart.lanes for bar in lane.bars]
    assert all(chart.left - 0.1 <= bar.x and bar.x + bar.width <= chart.right + 2.1 for bar in bars)
    in_time = sorted(bars, key=lambda bar: bar.begin_ms)
    assert [bar.x for bar in in_time] == sorted(bar.x for bar in in_time)
    ticks = [tick.at for tick in chart.ticks]
    assert ticks == sorted(ticks) and all(chart.left - 0.1 <= at <= chart.right + 0.1 for at in ticks)
    assert all(lane.y + chart.bar <= chart.height for lane in chart.lanes)
