"""Tests which feeds are strong."""

import pytest

from mousetrap.earthquakes import Earthquake, Feed, QuietFeed, StrongFeed
from mousetrap.fetch_data import quiet_or_strong


def event(magnitude: float | None, kind: str = "earthquake") -> Earthquake:
    return Earthquake("a", magnitude, "Nowhere", 1, 1.0, 2.0, 3.0, kind)


@pytest.mark.parametrize(
    "events", [[], [event(5.9)], [event(None)], [event(7.0, "explosion")]], ids=["none", "weak", "?", "blast"]
)
def test_a_feed_without_a_strong_earthquake_is_quiet(events: list[Earthquake]) -> None:
    feed = Feed("A week", 1, events, {"its type is missing": 2})

    assert quiet_or_strong(feed) == QuietFeed("A week", 1, events, {"its type is missing": 2})


def test_one_of_magnitude_6_makes_a_feed_strong() -> None:
    events = [event(5.9), event(6.0), event(None)]

    assert quiet_or_strong(Feed("A week", 1, events)) == StrongFeed("A week", 1, events)
