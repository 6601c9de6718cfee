"""The example's pipeline: its names and contracts."""

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
