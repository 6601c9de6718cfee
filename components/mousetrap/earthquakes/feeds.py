"""The example's second pipeline: several feeds at once, and their contracts."""

from typing import Annotated

import msgspec
from msgspec import Meta

from mousetrap.earthquakes.contracts import Earthquake, Feed, FeedRefused, FeedRequest
from mousetrap.pipeline import All, AnyOf, Each, Gathered, Many, Pipeline, Stage
from mousetrap.retry import RetryPolicy

_USGS = "https://earthquake.usgs.gov/earthquakes/feed/v1.0/summary"
#: The feeds that are read if neither the run nor a setting names any.
FEEDS_OF_USGS = tuple(f"{_USGS}/{name}.geojson" for name in ("all_hour", "all_day", "2.5_week", "4.5_month"))
#: The magnitude from which an earthquake is strong.
STRONG = 6.0


class FeedsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which feeds to fetch; none means the workers' own."""

    urls: Annotated[
        tuple[Annotated[str, Meta(pattern="^https?://", max_length=2048)], ...], Meta(max_length=1000)
    ] = ()


def default_feeds(urls: str) -> FeedsRequest:
    """The request of a run that names no feeds; `urls` is the setting, or empty."""
    return FeedsRequest(tuple(urls.split()) or FEEDS_OF_USGS)


class QuietFeed(Feed, frozen=True, tag="quiet"):
    """A feed without a strong earthquake."""


class StrongFeed(Feed, frozen=True, tag="strong"):
    """A feed with a strong earthquake."""


class FeedReport(msgspec.Struct, frozen=True):
    """What is compared of a feed."""

    title: str
    earthquakes: int
    #: Greatest magnitude first, ten at most; none of a quiet feed.
    strong: list[Earthquake] = []


class Comparison(msgspec.Struct, frozen=True):
    """The result: the feeds side by side."""

    #: In the order of the request.
    feeds: list[FeedReport]
    #: How many could not be read.
    lost: int = 0


FEEDS = Pipeline(
    name="feeds",
    description="Reads several feeds of earthquakes at once, and compares the quiet ones with those that have a strong one.",
    stages=(
        Stage(name="list", queue="feeds_list", input=FeedsRequest, output=Many[FeedRequest]),
        Stage(
            name="fetch",
            queue="feeds_fetch",
            input=FeedRequest,
            output=QuietFeed | StrongFeed,
            after=Each("list"),
            retry=RetryPolicy(attempts=5, base=1.0, cap=60.0, dont_retry_on=(FeedRefused,)),
        ),
        Stage(name="count", queue="feeds_count", input=QuietFeed, output=FeedReport, after="fetch"),
        Stage(name="report", queue="feeds_report", input=StrongFeed, output=FeedReport, after="fetch"),
        Stage(
            name="compare",
            queue="feeds_compare",
            input=Gathered[FeedReport],
            output=Comparison,
            after=All(AnyOf("count", "report"), need=0.5),
        ),
    ),
)
