"""Tests the reports on feeds, and their comparison."""

from mousetrap.earthquakes import Comparison, Earthquake, FeedReport, QuietFeed, StrongFeed
from mousetrap.pipeline import Gathered
from mousetrap.process_data import compare, count_quiet, report_strong


def event(id: str, magnitude: float | None, kind: str = "earthquake") -> Earthquake:
    return Earthquake(id, magnitude, "Nowhere", 1, 1.0, 2.0, 3.0, kind)


def test_of_a_quiet_feed_each_earthquake_is_counted_once() -> None:
    feed = QuietFeed(
        "Quiet", 1, [event("a", 1.0), event("a", 1.0), event("b", None), event("c", 2, "explosion")]
    )

    assert count_quiet(feed) == FeedReport("Quiet", 2)


def test_of_a_strong_feed_the_strong_ones_are_named_greatest_first() -> None:
    weak, strong, stronger = event("a", 5.9), event("b", 6.0), event("c", 7.1)
    feed = StrongFeed("Strong", 1, [weak, strong, stronger, event("d", 9.0, "explosion")])

    assert report_strong(feed) == FeedReport("Strong", 3, [stronger, strong])


def test_feeds_are_compared_in_the_order_of_the_request() -> None:
    reports = [FeedReport("B", 2), FeedReport("A", 1)]

    assert compare(Gathered.of(reports)) == Comparison(reports)
