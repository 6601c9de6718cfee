"""The example pipeline's names and contracts: fetch a week of earthquakes, then process it into a summary."""

from mousetrap.earthquakes.contracts import (
    WEEK,
    Band,
    Earthquake,
    Feed,
    FeedRefused,
    FeedRequest,
    FeedUnavailable,
    Region,
    Spread,
    Summary,
)
from mousetrap.earthquakes.pipeline import EARTHQUAKES

__all__ = [
    "EARTHQUAKES",
    "WEEK",
    "Band",
    "Earthquake",
    "Feed",
    "FeedRefused",
    "FeedRequest",
    "FeedUnavailable",
    "Region",
    "Spread",
    "Summary",
]
