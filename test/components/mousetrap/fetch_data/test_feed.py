"""What is read out of GeoJSON, and what is refused."""

import json
from typing import Any

import pytest

from mousetrap.earthquakes import Earthquake, FeedRefused
from mousetrap.fetch_data.feed import read_feed

_FEATURE: dict[str, Any] = {
    "type": "Feature",
    "id": "ci37868143",
    "properties": {
        "mag": 2,
        "place": "4km W of Castaic, CA",
        "time": 1517966773840,
        "type": "earthquake",
        "felt": None,
        "a field of tomorrow": [1],
    },
    "geometry": {"type": "Point", "coordinates": [-118.6671667, 34.4945, 26.49]},
}


def _feed(*features: Any) -> bytes:
    metadata = {"title": "A week", "generated": 1517968154000, "api": "1.5.8"}
    return json.dumps({"type": "FeatureCollection", "metadata": metadata, "features": features}).encode()


def _feature(**changes: Any) -> dict[str, Any]:
    return {**_FEATURE, "properties": {**_FEATURE["properties"], **changes}}


def test_a_real_week_is_read_whole(week: bytes) -> None:
    feed = read_feed(week, "the feed")

    assert len(feed.events) == 1707
    assert (feed.title, feed.generated_ms) == ("USGS All Earthquakes, Past Week", 1517968154000)
    assert feed.events[0] == Earthquake(
        id="ci37868143",
        magnitude=2.0,
        place="4km W of Castaic, CA",
        time_ms=1517966773840,
        longitude=-118.6671667,
        latitude=34.4945,
        depth_km=26.49,
        kind="earthquake",
    )


def test_fields_that_we_do_not_know_are_passed_over() -> None:
    assert read_feed(_feed(_FEATURE), "the feed").events[0].magnitude == 2.0


def test_a_magnitude_a_place_or_a_depth_may_be_missing() -> None:
    bare = _feature(mag=None, place=None)
    del bare["properties"]["place"]
    bare["geometry"] = {"type": "Point", "coordinates": [1.0, 2.0]}

    event = read_feed(_feed(bare), "the feed").events[0]

    assert (event.magnitude, event.place, event.depth_km) == (None, "", None)


def test_a_feed_without_events_is_a_feed() -> None:
    assert read_feed(_feed(), "the feed").events == []


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (_feature(mag="strong"), r"feature 1, properties\.mag: Expected `float \| null`, got `str`"),
        (_feature(mag=1e30), r"feature 1, properties\.mag: "),
        (_feature(time="today"), r"feature 1, properties\.time: Expected `int`, got `str`"),
        (_feature(place="a" * 501), r"feature 1, properties\.place: "),
        (_feature(type=None), r"feature 1, properties\.type: "),
        ({**_FEATURE, "geometry": None}, r"feature 1, geometry: "),
        ({**_FEATURE, "geometry": {"coordinates": [1]}}, r"feature 1, geometry\.coordinates: "),
        ({**_FEATURE, "geometry": {"coordinates": [1, 91]}}, r"feature 1, geometry\.coordinates\[1\]: "),
        ({"id": "x"}, r"feature 1: Object missing required field `properties`"),
        (7, r"feature 1: Expected `object`, got `int`"),
    ],
)
def test_a_feature_of_the_wrong_shape_is_refused_by_its_number_and_field(feature: Any, told: str) -> None:
    with pytest.raises(FeedRefused, match=f"the feed is not a GeoJSON feed of earthquakes: {told}"):
        read_feed(_feed(_FEATURE, feature), "the feed")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html>secret</html>", "not JSON: JSON is malformed"),
        (b"", "not JSON: Input data was truncated"),
        (_feed(_FEATURE)[:-1], "not JSON: Input data was truncated"),
        (b'{"type": "\xff"}', "not JSON: it is not UTF-8 text"),
        (b'{"type": NaN}', "not JSON: JSON is malformed"),
        (b'{"x": ' + b"[" * 100_000, "not JSON: it is nested too deep"),
        (b"[]", "not a GeoJSON feed of earthquakes: Expected `object`, got `array`"),
        (b'{"hello": "secret"}', "not a GeoJSON feed of earthquakes: Object missing required field `type`"),
        (_feed().replace(b"FeatureCollection", b"secret"), "its type is not FeatureCollection"),
        (_feed().replace(b'"A week"', b"0"), r"metadata\.title: Expected `str`, got `int`"),
    ],
)
def test_what_is_no_feed_is_refused_without_quoting_it(body: bytes, told: str) -> None:
    with pytest.raises(FeedRefused, match=told) as refused:
        read_feed(body, "the feed")

    assert "secret" not in str(refused.value)
