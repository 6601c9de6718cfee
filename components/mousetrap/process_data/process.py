"""Computes a feed's summary."""

import math
from collections.abc import Sequence
from itertools import pairwise

import polars as pl

from mousetrap.earthquakes import Band, Earthquake, Feed, Region, Spread, Summary
from mousetrap.process_data.b_value import b_value
from mousetrap.process_data.region import region_of

EARTHQUAKE = "earthquake"
_BOUNDS = (None, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, None)
_STRONGEST = 10
#: The reason why an event is skipped whose id occurred before.
_REPEATED = "it has the id of an event before it"


def process_data(feed: Feed) -> Summary:
    """The summary of the feed; an empty feed has one too. Of events with one id the first counts."""
    events = each_once(feed.events)
    repeated = len(feed.events) - len(events)
    earthquakes = [event for event in events if event.kind == EARTHQUAKE]
    others = [event.kind for event in events if event.kind != EARTHQUAKE]
    table = _table(earthquakes)
    measured = table["magnitude"].drop_nulls()
    regions = _counted(table["region"])
    busiest = regions[0][0] if regions else ""
    law = b_value(table.filter(pl.col("region") == busiest)["magnitude"].drop_nulls())
    return Summary(
        title=feed.title,
        generated_ms=feed.generated_ms,
        earthquakes=len(earthquakes),
        other_events=dict(_counted(pl.Series("kind", others, dtype=pl.String))),
        missing_magnitudes=table["magnitude"].null_count(),
        bands=_bands(measured),
        regions=[Region(name, count) for name, count in regions],
        strongest=_strongest(earthquakes),
        magnitude=_spread(measured),
        depth_km=_spread(table["depth_km"].drop_nulls()),
        b_value=law.value if law else None,
        completeness=law.completeness if law else None,
        b_error=law.error if law else None,
        b_region=busiest if law else None,
        skipped=feed.skipped | ({_REPEATED: repeated} if repeated else {}),
    )


def each_once(events: Sequence[Earthquake]) -> list[Earthquake]:
    """An event without an id is like no other."""
    named = {event.id: event for event in reversed(events) if event.id}
    return [event for event in events if not event.id or named[event.id] is event]


def _table(events: Sequence[Earthquake]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "magnitude": [event.magnitude for event in events],
            "depth_km": [event.depth_km for event in events],
            "region": [region_of(event.place) for event in events],
        },
        schema={"magnitude": pl.Float64, "depth_km": pl.Float64, "region": pl.String},
    )


def _counted(names: pl.Series) -> list[tuple[str, int]]:
    """How often each name occurs: most frequent first, equals by name."""
    counts = names.value_counts(name="count")
    return counts.sort("count", names.name, descending=[True, False]).rows()


def _bands(magnitudes: pl.Series) -> list[Band]:
    return [Band(low, high, _between(magnitudes, low, high)) for low, high in pairwise(_BOUNDS)]


def _between(magnitudes: pl.Series, low: float | None, high: float | None) -> int:
    least, most = (-math.inf if low is None else low), (math.inf if high is None else high)
    return int(magnitudes.is_between(least, most, closed="left").sum())


def _strongest(events: Sequence[Earthquake]) -> list[Earthquake]:
    """Greatest magnitude first; of equals the latest, and then by id, so that no order depends on the feed's."""
    return sorted(
        (event for event in events if event.magnitude is not None),
        key=lambda event: (-(event.magnitude or 0.0), -event.time_ms, event.id),
    )[:_STRONGEST]


def _spread(values: pl.Series) -> Spread | None:
    """None without values; quartiles are interpolated between two values."""
    if values.is_empty():
        return None
    points = [values.quantile(share, "linear") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    return Spread(*(float(point) for point in points if point is not None))
