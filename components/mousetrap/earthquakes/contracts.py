"""The contracts and errors of the earthquakes pipeline."""

from typing import Annotated

import msgspec
from msgspec import Meta

#: The feed that is read if neither the run nor a setting names one.
WEEK = "https://earthquake.usgs.gov/earthquakes/feed/v1.0/summary/all_week.geojson"


class FeedUnavailable(Exception):
    """The feed is not available now; another try may succeed, after `retry_after` seconds if that is given."""

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.retry_after = retry_after


class FeedRefused(Exception):
    """The feed is refused: its address, size or content is wrong, and another try would change nothing."""


class FeedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which feed to fetch."""

    #: A GeoJSON feed of earthquakes, as the U.S. Geological Survey serves them; empty means the workers' own.
    url: Annotated[str, Meta(pattern="^($|https?://)", max_length=2048)] = ""


def default_request(feed_url: str) -> FeedRequest:
    """The request of a run that names no feed; `feed_url` is the setting, or empty."""
    return FeedRequest(feed_url or WEEK)


class Earthquake(msgspec.Struct, frozen=True, array_like=True):
    """One event of the feed, as an array on the wire: a week has thousands."""

    #: Empty where the feed gives none.
    id: str
    #: As reported, in the network's scale; None when not determined.
    magnitude: float | None
    place: str
    #: Milliseconds since 1970.
    time_ms: int
    #: Degrees; both None where the feed gives no place on the map.
    longitude: float | None
    latitude: float | None
    #: Kilometres; negative above sea level.
    depth_km: float | None
    #: "earthquake", "quarry blast", "explosion" and so on.
    kind: str


class Feed(msgspec.Struct, frozen=True):
    """The events of one feed."""

    title: str
    #: Milliseconds since 1970, when the feed was made.
    generated_ms: int
    events: list[Earthquake]
    #: How many of the feed's events could not be read, by what is wrong with them.
    skipped: dict[str, int] = {}


class Band(msgspec.Struct, frozen=True):
    """How many earthquakes have a magnitude in [low, high); None is no bound."""

    low: float | None
    high: float | None
    count: int


class Region(msgspec.Struct, frozen=True):
    """How many earthquakes a region had."""

    name: str
    count: int


class Spread(msgspec.Struct, frozen=True):
    """A distribution: its least, quartiles and greatest."""

    minimum: float
    lower_quartile: float
    median: float
    upper_quartile: float
    maximum: float


class Summary(msgspec.Struct, frozen=True):
    """The summary of a feed; all of it is about earthquakes, except `other_events`."""

    title: str
    generated_ms: int
    earthquakes: int
    #: Events of other kinds (quarry blasts, explosions, …) by kind.
    other_events: dict[str, int]
    #: Earthquakes whose magnitude is not given; they are in no band, no spread and no b-value.
    missing_magnitudes: int
    bands: list[Band]
    #: Most frequent first.
    regions: list[Region]
    #: Greatest magnitude first.
    strongest: list[Earthquake]
    magnitude: Spread | None
    depth_km: Spread | None
    #: How many fewer the strong are than the weak (Gutenberg-Richter): about 1 means ten times fewer per magnitude. It is
    #: taken from the region with the most earthquakes, since regions that record differently small ones give no common value.
    #: None, as are the three below, with too few events.
    b_value: float | None
    #: The magnitude from which that region's records are complete; smaller ones have no part in the b-value.
    completeness: float | None
    #: The b-value's standard error.
    b_error: float | None = None
    #: The region that the b-value is about.
    b_region: str | None = None
    #: Events of the feed that are counted nowhere else, by why: they could not be read, or came twice.
    skipped: dict[str, int] = {}
