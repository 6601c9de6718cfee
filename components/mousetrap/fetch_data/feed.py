"""Reads a feed out of GeoJSON as the U.S. Geological Survey writes it."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from mousetrap.earthquakes import Earthquake, Feed, FeedRefused

#: No name or place is longer; a text without end would travel through every queue.
_Text = Annotated[str, Meta(max_length=500)]


class _Properties(msgspec.Struct):
    time: int
    type: _Text
    mag: Annotated[float, Meta(ge=-20, le=20)] | None = None
    place: _Text | None = None


class _Position(msgspec.Struct, array_like=True):
    longitude: Annotated[float, Meta(ge=-360, le=360)]
    latitude: Annotated[float, Meta(ge=-90, le=90)]
    depth_km: float | None = None


class _Point(msgspec.Struct):
    coordinates: _Position


class _Feature(msgspec.Struct):
    id: _Text
    properties: _Properties
    geometry: _Point


class _Metadata(msgspec.Struct):
    title: _Text
    generated: int


class _Collection(msgspec.Struct):
    type: str
    metadata: _Metadata
    features: list[_Feature]


def read_feed(body: bytes, where: str) -> Feed:
    """The feed that `body` holds; fields that we do not know are passed over.

    Raises FeedRefused, with the place in the feed and never its text, for anything that is not such a feed.
    """
    try:
        collection = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise FeedRefused(f"{where} is not a GeoJSON feed of earthquakes: {_placed(str(error))}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FeedRefused(f"{where} is not JSON: {_reason(error)}") from None
    if collection.type != "FeatureCollection":
        raise FeedRefused(f"{where} is not a GeoJSON feed of earthquakes: its type is not FeatureCollection")
    return Feed(
        title=collection.metadata.title,
        generated_ms=collection.metadata.generated,
        events=[_event(feature) for feature in collection.features],
    )


_decoder = msgspec.json.Decoder(_Collection)


def _event(feature: _Feature) -> Earthquake:
    told, position = feature.properties, feature.geometry.coordinates
    return Earthquake(
        id=feature.id,
        magnitude=told.mag,
        place=told.place or "",
        time_ms=told.time,
        longitude=position.longitude,
        latitude=position.latitude,
        depth_km=position.depth_km,
        kind=told.type,
    )


def _placed(error: str) -> str:
    """The decoder's "… - at `$.features[3].geometry`" as people say it."""
    what, _, path = error.partition(" - at `$")
    feature = re.match(r"\.features\[(\d+)\]\.?", path)
    if feature:
        field = path[feature.end() :].rstrip("`")
        return f"feature {feature[1]}{', ' + field if field else ''}: {what}"
    return f"{path.strip('.`')}: {what}" if path else what


def _reason(error: Exception) -> str:
    match error:
        case UnicodeDecodeError():
            return "it is not UTF-8 text"
        case RecursionError():
            return "it is nested too deep"
        case _:
            return str(error)
