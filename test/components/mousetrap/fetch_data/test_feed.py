"""What is read out of GeoJSON, and what is refused."""

import copy
import gzip
import io
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mousetrap import pipeline as contract
from mousetrap.earthquakes import Earthquake, Feed, FeedRefused, FeedUnavailable, Summary
from mousetrap.earthquakes_tables import summary_tables
from mousetrap.fetch_data.feed import read_feed
from mousetrap.process_data import process_data

sys.set_int_max_str_digits(0)  # json writes numbers of any length here, as a feed can

_WEEK = (
    Path(__file__).parents[4]
    / "components"
    / "mousetrap"
    / "earthquakes_sample"
    / "earthquakes-week.geojson.gz"
)
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
    ("feature", "why"),
    [
        (_feature(mag="strong"), "properties.mag: Expected `float | null`, got `str`"),
        (_feature(mag=1e30), "properties.mag: Expected `float` <= 20.0"),
        (_feature(time="today"), "properties.time: Expected `float`, got `str`"),
        (_feature(time=None), "properties.time: Expected `float`, got `null`"),
        (_feature(time=1e18), "properties.time: Expected `float` <= 253402300799999.0"),
        (_feature(place="a" * 501), "properties.place: Expected `str` of length <= 500"),
        (_feature(type=None), "properties.type: Expected `str`, got `null`"),
        ({**_FEATURE, "properties": None}, "properties: Expected `object`, got `null`"),
        ({**_FEATURE, "id": {}}, "id: Expected `int | float | str | null`, got `object`"),
        (
            {**_FEATURE, "geometry": {"coordinates": [1, 999]}},
            "geometry.coordinates[1]: Expected `float` <= 360.0",
        ),
        (
            {**_FEATURE, "geometry": {"coordinates": [[1, 2]]}},
            "geometry.coordinates[0]: Expected `float | null`, got `array`",
        ),
        ({"id": "x"}, "Object missing required field `properties`"),
        (7, "Expected `object`, got `int`"),
    ],
)
def test_an_event_that_cannot_be_read_is_left_out_and_counted_with_the_reason(feature: Any, why: str) -> None:
    feed = read_feed(_feed(_FEATURE, feature, _FEATURE), "the feed")

    assert len(feed.events) == 2
    assert feed.skipped == {why: 1}


def test_an_event_that_is_not_utf_8_is_left_out_and_counted() -> None:
    body = _feed(_FEATURE, _feature(place="XX")).replace(b"XX", b"\xe9")

    assert read_feed(body, "the feed").skipped == {"it is not UTF-8 text": 1}


@pytest.mark.parametrize(
    ("geometry", "place"),
    [
        (None, (None, None, None)),
        ({"type": "Point", "coordinates": None}, (None, None, None)),
        ({"type": "Point", "coordinates": []}, (None, None, None)),
        ({"type": "Point", "coordinates": [1, 2]}, (1.0, 2.0, None)),
        ({"type": "Point", "coordinates": [1, 2, None]}, (1.0, 2.0, None)),
    ],
)
def test_an_event_may_have_no_place_on_the_map(geometry: Any, place: tuple[float | None, ...]) -> None:
    [event] = read_feed(_feed({**_FEATURE, "geometry": geometry}), "the feed").events

    assert (event.longitude, event.latitude, event.depth_km) == place


@pytest.mark.parametrize(
    ("given", "id"), [("x", "x"), (17, "17"), (17.0, "17"), (1.5, "1.5"), (2**62, str(2**62)), (None, "")]
)
def test_an_id_may_be_a_number_or_missing(given: Any, id: str) -> None:
    features = [{**_FEATURE, "id": given}]
    if given is None:
        features.append({name: value for name, value in _FEATURE.items() if name != "id"})

    assert {event.id for event in read_feed(_feed(*features), "the feed").events} == {id}


@pytest.mark.parametrize(("time", "ms"), [(1700000000000.0, 1700000000000), (1.5, 1), (-1e3, -1000)])
def test_a_time_may_be_written_as_any_number(time: float, ms: int) -> None:
    assert read_feed(_feed(_feature(time=time)), "the feed").events[0].time_ms == ms


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le with mark", "utf-16-be with mark"]
)
def test_a_text_in_the_encoding_of_its_mark_is_read(encoding: str, week: bytes) -> None:
    name = encoding.removesuffix(" with mark")
    text = ("" if name == encoding else "\ufeff") + week.decode()

    assert read_feed(text.encode(name), "the feed") == read_feed(week, "the feed")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[]", "not a GeoJSON feed of earthquakes: Expected `object`, got `array`"),
        (b'{"type": "\xff"}', "not JSON: it is not UTF-8 text"),
        (b'{"type": NaN}', "not JSON: JSON is malformed"),
        (b'{"x": ' + b"[" * 100_000, "not JSON: it is nested too deep"),
        (b"\xff\xfe\x00\xd8\x00\x00", "its byte order mark is of UTF-16, its text is not"),
        (b"secret", "not JSON: JSON is malformed"),
        (b'{"hello": "secret"}', "not a GeoJSON feed of earthquakes: Object missing required field `type`"),
        (_feed().replace(b"FeatureCollection", b"secret"), "its type is not FeatureCollection"),
        (_feed().replace(b'"A week"', b"0"), r"metadata\.title: Expected `str`, got `int`"),
        (_feed().replace(b"1517968154000", b"1e300"), r"metadata\.generated: Expected `float` <= "),
    ],
)
def test_what_is_no_feed_is_refused_without_quoting_it(body: bytes, reason: str) -> None:
    with pytest.raises(FeedRefused, match=reason) as refused:
        read_feed(body, "the feed")

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty page"),
        (b" \r\n", "empty page"),
        (b"<html>secret</html>", "a web page or XML"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html>", "a web page or XML"),
        (_feed(_FEATURE)[:-1], "ended its response in the middle"),
        (_feed(_FEATURE).decode().encode("utf-16")[:-1], "ended its response in the middle"),
        (_feed(_FEATURE).decode().encode("utf-16")[:-2], "ended its response in the middle"),
        (_feed(_FEATURE).decode().encode("utf-32")[:-3], "ended its response in the middle"),
    ],
)
def test_what_a_server_in_trouble_sends_is_tried_again(body: bytes, reason: str) -> None:
    with pytest.raises(FeedUnavailable, match=reason) as unavailable:
        read_feed(body, "the feed")

    assert "secret" not in str(unavailable.value)


@given(st.data())
def test_a_feed_that_is_cut_anywhere_is_tried_again(data: st.DataObject) -> None:
    whole = _feed(_FEATURE, _feature(mag=-1.5e-1, place="Jökulsá, 東京 😀"))
    whole = json.dumps(json.loads(whole), ensure_ascii=data.draw(st.booleans())).encode()

    with pytest.raises(FeedUnavailable):
        read_feed(whole[: data.draw(st.integers(0, len(whole) - 1))], "the feed")


#: Any value of JSON, numbers beyond all bounds included.
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from((10**400, -(10**5000), 1700000000000.0, "x" * 600)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_places = st.sampled_from(
    (
        (),
        *((name,) for name in _FEATURE),
        *(("properties", name) for name in _FEATURE["properties"]),
        *(("geometry", name) for name in _FEATURE["geometry"]),
        *(("geometry", "coordinates", number) for number in range(3)),
    )
)


@given(where=_places, value=_values, is_removed=st.booleans())
def test_one_bad_event_costs_no_other_and_every_event_is_counted_once(
    where: tuple[Any, ...], value: Any, is_removed: bool
) -> None:
    features = _real_features()
    changed = _changed(features[7], where, value, is_removed)
    others = read_feed(_feed(*features[:7], *features[8:]), "the feed").events

    feed = read_feed(_feed(*features[:7], changed, *features[8:]), "the feed")

    read = [event for event in feed.events if event in others]
    assert read == others
    assert len(feed.events) + sum(feed.skipped.values()) == 20
    summary = process_data(contract.read(contract.write(feed, Feed), Feed))
    counted = summary.earthquakes + sum(summary.other_events.values()) + sum(summary.skipped.values())
    assert counted == 20
    assert contract.read(contract.write(summary, Summary), Summary) == summary
    Console(file=io.StringIO()).print(summary_tables(summary))


@cache
def _real_features() -> list[Any]:
    """Twenty events as the real feed has them."""
    features: list[Any] = json.loads(gzip.decompress(_WEEK.read_bytes()))["features"][:20]
    return features


def _changed(feature: Any, where: tuple[Any, ...], value: Any, is_removed: bool) -> Any:
    """A copy of the feature with something else, or nothing, at one place in it."""
    if not where:
        return value
    changed = copy.deepcopy(feature)
    inner = changed
    for step in where[:-1]:
        inner = inner[step]
    inner[where[-1]] = value
    if is_removed:
        del inner[where[-1]]
    return changed
