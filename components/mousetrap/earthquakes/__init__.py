"""The example's pipelines: their names and contracts."""

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
from mousetrap.earthquakes.feeds import (
    FEEDS,
    STRONG,
    Comparison,
    FeedReport,
    FeedsRequest,
    QuietFeed,
    StrongFeed,
    default_feeds,
)
from mousetrap.earthquakes.pipeline import EARTHQUAKES

__all__ = [
    "EARTHQUAKES",
    "FEEDS",
    "STRONG",
    "Band",
    "Comparison",
    "Earthquake",
    "Feed",
    "FeedRefused",
    "FeedReport",
    "FeedRequest",
    "FeedUnavailable",
    "FeedsRequest",
    "QuietFeed",
    "Region",
    "Spread",
    "StrongFeed",
    "Summary",
    "default_feeds",
    "default_request",
]
