"""Tests the region of a place."""

import pytest

from mousetrap.process_data.region import region_of


@pytest.mark.parametrize(
    ("place", "region"),
    [
        ("4km W of Castaic, CA", "California"),
        ("10 km NW of Parkfield, California", "California"),
        ("Northern California", "California"),
        ("central Alaska", "Alaska"),
        ("300km SE of Kodiak, Alaska", "Alaska"),
        ("26km NE of Round Mountain, NV", "Nevada"),
        ("45km SSW of Alberto Oviedo Mota, B.C., MX", "Mexico"),
        ("8km W of Charleston, West Virginia", "West Virginia"),
        ("Northern Mariana Islands", "Northern Mariana Islands"),
        ("South of the Fiji Islands", "Fiji Islands"),
        ("southeast of the Loyalty Islands", "Loyalty Islands"),
        ("120km ENE of Lord Howe Island", "Lord Howe Island"),
        ("Off the east coast of the North Island of New Zealand", "New Zealand"),
        ("off the coast of Oregon", "Oregon"),
        ("Gulf of Alaska", "Gulf of Alaska"),
        ("Bay of Bengal", "Bay of Bengal"),
        ("23km SW of Uvira, Democratic Republic of the Congo", "Democratic Republic of the Congo"),
        ("Democratic Republic of the Congo", "Democratic Republic of the Congo"),
        ("Kiribati region", "Kiribati"),
        ("100km S of Bristol Island, South Sandwich Islands", "South Sandwich Islands"),
        ("Southern Mid-Atlantic Ridge", "Southern Mid-Atlantic Ridge"),
        ("Reykjanes Ridge", "Reykjanes Ridge"),
        ("", "(unnamed)"),
        ("  ", "(unnamed)"),
        ("somewhere, ", "(unnamed)"),
        ("region", "region"),
    ],
)
def test_the_region_of_a_place(place: str, region: str) -> None:
    assert region_of(place) == region
