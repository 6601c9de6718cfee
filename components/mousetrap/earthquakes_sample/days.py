"""Splits the week of earthquakes into a feed for each day."""

import gzip
from collections import defaultdict
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

import msgspec


def packed_week() -> bytes:
    """The week as GeoJSON in gzip."""
    return (
        resources.files("mousetrap.earthquakes_sample").joinpath("earthquakes-week.geojson.gz").read_bytes()
    )


@cache
def packed_days() -> dict[str, bytes]:
    """The same by its days in UTC, as "2018-02-01", earliest first."""
    week = msgspec.json.decode(gzip.decompress(packed_week()))
    days = defaultdict[str, list[Any]](list)
    for feature in week["features"]:
        days[f"{datetime.fromtimestamp(feature['properties']['time'] / 1000, UTC):%Y-%m-%d}"].append(feature)
    return {day: _packed(week, day, days[day]) for day in sorted(days)}


def _packed(week: dict[str, Any], day: str, features: list[Any]) -> bytes:
    metadata = {**week["metadata"], "title": day, "count": len(features)}
    return gzip.compress(msgspec.json.encode({**week, "metadata": metadata, "features": features}), 1)
