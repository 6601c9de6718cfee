"""Tests the table of a comparison, to the letter."""

from io import StringIO

import msgspec

from mousetrap.cli.output import terminal
from mousetrap.earthquakes import Comparison, Earthquake, FeedReport
from mousetrap.earthquakes_tables import comparison_table, draw_comparison

HUALIEN = Earthquake("a", 6.4, "22km NNE of Hualian, Taiwan", 1, 121.7, 24.1, 10.6, "earthquake")
COMPARISON = Comparison(
    [
        FeedReport("2018-02-06", 1209, [HUALIEN, HUALIEN]),
        FeedReport("[quiet]\nday", 14),
    ],
    lost=1,
)


def shown(comparison: Comparison) -> str:
    out = StringIO()
    terminal(out, width=80).print(comparison_table(comparison))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_a_comparison_has_a_row_for_each_feed_and_counts_the_missing() -> None:
    assert (
        shown(COMPARISON)
        == """\
2 feeds, 1 with an earthquake of magnitude 6 or more

feed         earthquakes  strong  strongest  where
────────────────────────────────────────────────────────────────────────
2018-02-06         1,209       2        6.4  22km NNE of Hualian, Taiwan
[quiet] day           14   quiet
1 feed could not be read"""
    )


def test_a_result_is_drawn_unless_another_version_made_it_differently() -> None:
    assert draw_comparison(msgspec.to_builtins(COMPARISON)) is not None
    assert draw_comparison({"feeds": 3}) is None
