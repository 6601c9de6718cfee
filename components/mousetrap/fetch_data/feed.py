"""Parses a GeoJSON feed of earthquakes, event by event."""

from collections import Counter
from typing import Annotated

import msgspec
from msgspec import Meta

from mousetrap.earthquakes import Earthquake, Feed, FeedRefused
from mousetrap.fetch_data.text import as_utf8, not_json

#: No name or place is longer; an unlimited text would pass through every queue.
_Text = Annotated[str, Meta(max_length=500)]
#: Milliseconds since 1970, as a whole number or not: the years 1 to 9999, which are all that Python supports.
_Time = Annotated[float, Meta(ge=-62_135_596_800_000, le=253_402_300_799_999)]
_Degrees = Annotated[float, Meta(ge=-360, le=360)]
_Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class _Properties(msgspec.Struct):
    time: _Time
    type: _Text
    mag: Annotated[float, Meta(ge=-20, le=20)] | None = None
    place: _Text | None = None


class _Position(msgspec.Struct, array_like=True):
    longitude: _Degrees | None = None
    latitude: _Degrees | None = None
    depth_km: float | None = None


class _Point(msgspec.Struct):
    coordinates: _Position | None = None


class _Feature(msgspec.Struct):
    properties: _Properties
    #: None is a feature without a place, and an id may be a number or missing: RFC 7946, 3.2.
    geometry: _Point | None = None
    id: _Text | _Number | float | None = None


class _Metadata(msgspec.Struct):
    title: _Text
    generated: _Time


class _Collection(msgspec.Struct):
    type: str
    metadata: _Metadata
    features: list[msgspec.Raw]


def read_feed(body: bytes, where: str) -> Feed:
    """The feed that `body` holds; unknown fields are ignored, unreadable events are counted.

    Raises FeedUnavailable for a body that is cut off, or is a server's error page; FeedRefused, with the
    place in the feed and never its text, for anything else that is not such a feed.
    """
    text = as_utf8(body, where)
    try:
        collection = _decoder.decode(text)
    except msgspec.ValidationError as error:
        raise FeedRefused(f"{where} is not a GeoJSON feed of earthquakes: {_placed(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error, text, where) from None
    if collection.type != "FeatureCollection":
        raise FeedRefused(f"{where} is not a GeoJSON feed of earthquakes: its type is not FeatureCollection")
    events, skipped = _events(collection.features)
    return Feed(
        title=collection.metadata.title,
        generated_ms=int(collection.metadata.generated),
        events=events,
        skipped=dict(skipped.most_common()),
    )


_decoder = msgspec.json.Decoder(_Collection)
_feature = msgspec.json.Decoder(_Feature)


def _events(features: list[msgspec.Raw]) -> tuple[list[Earthquake], Counter[str]]:
    """The events that can be read, and how many cannot, by why: one bad event is no reason to have none."""
    events, skipped = [], Counter[str]()
    for raw in features:
        try:
            events.append(_event(_feature.decode(raw)))
        except msgspec.ValidationError as error:
            skipped[_placed(error)] += 1
        except UnicodeDecodeError:
            skipped["it is not UTF-8 text"] += 1
    return events, skipped


def _event(feature: _Feature) -> Earthquake:
    properties = feature.properties
    position = (feature.geometry and feature.geometry.coordinates) or _Position()
    return Earthquake(
        id=_id(feature.id),
        magnitude=properties.mag,
        place=properties.place or "",
        time_ms=int(properties.time),
        longitude=position.longitude,
        latitude=position.latitude,
        depth_km=position.depth_km,
        kind=properties.type,
    )


def _id(given: str | float | None) -> str:
    if given is None:
        return ""
    return f"{given:.0f}" if isinstance(given, float) and given.is_integer() else str(given)


def _placed(error: Exception) -> str:
    """The decoder's "… - at `$.geometry.coordinates[1]`" as "geometry.coordinates[1]: …"."""
    what, _, path = str(error).partition(" - at `$")
    path = path.strip(".`")
    return f"{path}: {what}" if path else what
