"""Tests the summary of a real week and of odd feeds."""

import gzip
import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mousetrap.earthquakes import Band, Earthquake, Feed, Region, Spread, Summary
from mousetrap.process_data import process_data

_WEEK = (
    Path(__file__).parents[4]
    / "components"
    / "mousetrap"
    / "earthquakes_sample"
    / "earthquakes-week.geojson.gz"
)


@pytest.fixture(scope="module")
def features() -> list[dict[str, Any]]:
    """The real week's earthquakes, as GeoJSON has them."""
    features: list[dict[str, Any]] = json.loads(gzip.decompress(_WEEK.read_bytes()))["features"]
    return [feature for feature in features if feature["properties"]["type"] == "earthquake"]


@pytest.fixture(scope="module")
def feed() -> Feed:
    """The real week as the fetch stage hands it on."""
    week = json.loads(gzip.decompress(_WEEK.read_bytes()))
    events = [
        Earthquake(
            id=feature["id"],
            magnitude=feature["properties"]["mag"],
            place=feature["properties"]["place"],
            time_ms=feature["properties"]["time"],
            longitude=feature["geometry"]["coordinates"][0],
            latitude=feature["geometry"]["coordinates"][1],
            depth_km=feature["geometry"]["coordinates"][2],
            kind=feature["properties"]["type"],
        )
        for feature in week["features"]
    ]
    return Feed(week["metadata"]["title"], week["metadata"]["generated"], events)


@pytest.fixture(scope="module")
def summary(feed: Feed) -> Summary:
    return process_data(feed)


def _event(id: str, magnitude: float | None = 1.0, **changes: Any) -> Earthquake:
    event = Earthquake(id, magnitude, "Nowhere", 0, 0.0, 0.0, 1.0, "earthquake")
    return msgspec.structs.replace(event, **changes)


def _feed(*events: Earthquake) -> Feed:
    return Feed("A feed", 1, list(events))


def _quantile(values: list[float], share: float) -> float:
    position = share * (len(values) - 1)
    below = math.floor(position)
    above = min(below + 1, len(values) - 1)
    return values[below] + (position - below) * (values[above] - values[below])


def _spread_of(values: list[float]) -> list[float]:
    return [_quantile(sorted(values), share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]


def test_a_real_week_counts_earthquakes_apart_from_blasts(summary: Summary) -> None:
    assert summary.title == "USGS All Earthquakes, Past Week"
    assert (summary.earthquakes, summary.missing_magnitudes) == (1679, 0)
    assert summary.other_events == {"explosion": 15, "quarry blast": 13}


def test_a_real_week_by_magnitude_is_what_counting_gives(
    summary: Summary, features: list[dict[str, Any]]
) -> None:
    counted = Counter(min(max(math.floor(feature["properties"]["mag"]), 0), 7) for feature in features)

    assert [(band.low, band.high) for band in summary.bands[:2]] == [(None, 1.0), (1.0, 2.0)]
    assert [band.count for band in summary.bands] == [counted[whole] for whole in range(8)]
    assert [band.count for band in summary.bands] == [708, 533, 221, 89, 89, 34, 5, 0]


def test_a_real_week_by_region_is_what_counting_gives(
    summary: Summary, features: list[dict[str, Any]]
) -> None:
    ends = Counter(feature["properties"]["place"].rpartition(", ")[2] for feature in features)
    regions = {region.name: region.count for region in summary.regions}

    assert regions["California"] == ends["CA"] + ends["California"] == 817
    assert regions["Mexico"] == ends["MX"] + ends["Mexico"] == 10
    assert regions["Alaska"] == ends["Alaska"] == 311
    assert sum(regions.values()) == 1679
    # CA, MX and "Off the east coast of the North Island of New Zealand" are one with their full names
    assert len(regions) == len(summary.regions) == len(ends) - 3 == 70
    assert [region.count for region in summary.regions] == sorted(regions.values(), reverse=True)


def test_a_real_week_has_its_strongest_first(summary: Summary, features: list[dict[str, Any]]) -> None:
    magnitudes = sorted((feature["properties"]["mag"] for feature in features), reverse=True)

    assert [event.magnitude for event in summary.strongest] == magnitudes[:10]
    assert summary.strongest[0].place == "22km NNE of Hualian, Taiwan"


def test_a_real_week_spreads_as_plain_arithmetic_gives_it(
    summary: Summary, features: list[dict[str, Any]]
) -> None:
    magnitudes = [feature["properties"]["mag"] for feature in features]
    depths = [feature["geometry"]["coordinates"][2] for feature in features]

    assert summary.magnitude is not None
    assert summary.depth_km is not None
    assert list(msgspec.structs.astuple(summary.magnitude)) == pytest.approx(_spread_of(magnitudes))
    assert list(msgspec.structs.astuple(summary.depth_km)) == pytest.approx(_spread_of(depths))


def test_a_real_week_has_the_b_value_that_plain_arithmetic_gives(
    summary: Summary, features: list[dict[str, Any]]
) -> None:
    # given California's magnitudes in tenths, counted by strings and whole numbers alone
    californian = [
        feature["properties"]["mag"]
        for feature in features
        if feature["properties"]["place"].endswith((", CA", ", California"))
    ]
    tenths = [(int(f"{magnitude:.2f}".replace(".", "")) + 5) // 10 for magnitude in californian]
    counts = Counter(tenths)
    fullest = max(counts, key=lambda bin: (counts[bin], bin))
    complete = [bin / 10 for bin in tenths if bin >= fullest + 2]
    mean = math.fsum(complete) / len(complete)

    value = math.log10(math.e) / (mean - (fullest + 2) / 10 + 0.05)
    variance = math.fsum((magnitude - mean) ** 2 for magnitude in complete) / (len(complete) - 1)
    error = 2.302585093 * value**2 * math.sqrt(variance / len(complete))

    assert summary.b_region == "California"
    assert summary.completeness == (fullest + 2) / 10 == 1.1
    assert summary.b_value == pytest.approx(value)
    assert summary.b_error == pytest.approx(error)
    assert 0.6 < value < 1.2  # the range of the world's regions


def test_the_order_of_a_feed_changes_nothing(feed: Feed, summary: Summary) -> None:
    shuffled = random.Random(7).sample(feed.events, len(feed.events))

    again = process_data(Feed(feed.title, feed.generated_ms, shuffled))

    assert msgspec.json.encode(again) == msgspec.json.encode(summary)


def test_a_feed_without_events_has_a_summary() -> None:
    summary = process_data(_feed())

    assert (summary.earthquakes, summary.missing_magnitudes, summary.other_events) == (0, 0, {})
    assert [band.count for band in summary.bands] == [0] * 8
    assert (summary.regions, summary.strongest) == ([], [])
    assert (summary.magnitude, summary.depth_km, summary.b_value, summary.b_region) == (None,) * 4


def test_a_feed_of_blasts_alone_has_no_earthquakes() -> None:
    summary = process_data(_feed(_event("a", kind="quarry blast"), _event("b", kind="ice quake")))

    assert summary.earthquakes == 0
    assert summary.other_events == {"ice quake": 1, "quarry blast": 1}
    assert summary.magnitude is None


def test_a_missing_magnitude_is_counted_and_is_in_nothing_else() -> None:
    summary = process_data(_feed(_event("a", None), _event("b", 2.0, depth_km=None)))

    assert (summary.earthquakes, summary.missing_magnitudes) == (2, 1)
    assert [band for band in summary.bands if band.count] == [Band(2.0, 3.0, 1)]
    assert [event.id for event in summary.strongest] == ["b"]
    assert summary.magnitude == Spread(2.0, 2.0, 2.0, 2.0, 2.0)
    assert summary.depth_km == Spread(1.0, 1.0, 1.0, 1.0, 1.0)
    assert summary.regions == [Region("Nowhere", 2)]


def test_equally_strong_events_come_latest_first_and_then_by_id() -> None:
    events = [_event("b", 3.0, time_ms=1), _event("a", 3.0, time_ms=1), _event("c", 3.0, time_ms=2)]

    assert [event.id for event in process_data(_feed(*events)).strongest] == ["c", "a", "b"]


def test_equally_frequent_regions_come_by_name() -> None:
    places = ["x, Peru", "x, Chile", "x, Japan", "y, Japan"]

    summary = process_data(_feed(*(_event(place, place=place) for place in places)))

    assert summary.regions == [Region("Japan", 2), Region("Chile", 1), Region("Peru", 1)]


def test_a_magnitude_on_an_edge_is_in_the_band_above() -> None:
    summary = process_data(_feed(*(_event(str(edge), edge) for edge in (0.99, 1.0, 6.99, 7.0, -1.0))))

    assert [band.count for band in summary.bands] == [2, 1, 0, 0, 0, 0, 1, 1]


def test_events_with_one_id_count_once_and_those_without_one_each() -> None:
    feed = _feed(_event("a", 3.0), _event("a", 5.0), _event("", 1.0), _event("", 1.0), _event("a", kind="x"))

    summary = process_data(msgspec.structs.replace(feed, skipped={"it is not UTF-8 text": 4}))

    assert (summary.earthquakes, summary.other_events) == (3, {})
    assert [event.magnitude for event in summary.strongest] == [3.0, 1.0, 1.0]
    assert summary.skipped == {"it is not UTF-8 text": 4, "it has the id of an event before it": 2}


def test_what_an_earlier_version_kept_and_sent_is_read(summary: Summary) -> None:
    old = msgspec.to_builtins(summary)
    del old["skipped"]

    assert msgspec.convert(old, Summary) == summary
    assert msgspec.json.decode(b'{"title":"A feed","generated_ms":1,"events":[]}', type=Feed) == _feed()
