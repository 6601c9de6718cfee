"""The example pipeline's names and contracts: fetch a week of earthquakes, then process it into a summary."""

from mousetrap.earthquakes.contracts import (
    Band,
    Earthquake,
    Feed,
    FeedRefused,
    FeedRequest,
    FeedUnavailable,
    Region,
    Spread,
    Summary,
    default_request,
)
from mousetrap.earthquakes.pipeline import EARTHQUAKES

__all__ = [
    "EARTHQUAKES",
    "Band",
    "Earthquake",
    "Feed",
    "FeedRefused",
    "FeedRequest",
    "FeedUnavailable",
    "Region",
    "Spread",
    "Summary",
    "default_request",
]
