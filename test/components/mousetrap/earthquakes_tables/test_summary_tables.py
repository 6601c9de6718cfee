"""Tests the tables of a summary, to the letter."""

from io import StringIO

import msgspec

from mousetrap.cli.output import terminal
from mousetrap.earthquakes import Band, Earthquake, Region, Spread, Summary
from mousetrap.earthquakes_tables import summary_tables

SUMMARY = Summary(
    title="All Earthquakes, Past Week",
    generated_ms=1_517_968_154_000,
    earthquakes=1679,
    other_events={"explosion": 15, "quarry blast": 1},
    missing_magnitudes=3,
    bands=[Band(None, 1.0, 1000), Band(1.0, 2.0, 505), Band(2.0, 3.0, 1), Band(3.0, None, 0)],
    regions=[Region(f"Region {number}", 20 - number) for number in range(12)],
    strongest=[
        Earthquake(
            "a", 6.4, "22km NNE of Hualian, Taiwan", 1_517_932_243_000, 121.7, 24.1, 10.6, "earthquake"
        ),
        Earthquake("b", 6.0, "[nowhere]", 1_517_932_243_000, 0.0, 0.0, None, "earthquake"),
    ],
    magnitude=Spread(-0.8, 0.6, 1.1, 2.0, 6.4),
    depth_km=Spread(-2.8, 3.6, 7.0, 13.0, 573.8),
    b_value=0.75,
    completeness=1.1,
    b_error=0.04,
    b_region="California",
)
EMPTY = Summary("Nothing", 0, 0, {}, 0, [Band(None, None, 0)], [], [], None, None, None, None)


def shown(summary: Summary) -> str:
    out = StringIO()
    terminal(out, width=80).print(summary_tables(summary))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_a_summary_shows_figures_bands_regions_and_the_strongest() -> None:
    assert (
        shown(SUMMARY)
        == """\
All Earthquakes, Past Week · 2018-02-07 01:49

earthquakes   1,679
explosions    15, counted apart
quarry blast  1, counted apart
magnitude     -0.8 to 6.4, half of them 0.6 to 2.0
depth         -2.8 to 573.8 km, half of them 3.6 to 13.0 km
b-value       0.75 ± 0.04 in California, from magnitude 1.1 up

magnitude   earthquakes                      region    earthquakes
─────────────────────────────────────────    ─────────────────────
below 1           1,000  ████████████████    Region 0           20
1 to 2              505  █████████           Region 1           19
2 to 3                1  █                   Region 2           18
3 and more            0                      Region 3           17
not given             3                      Region 4           16
                                             Region 5           15
                                             Region 6           14
                                             Region 7           13
                                             Region 8           12
                                             Region 9           11
                                             2 others           19

strongest  when (UTC)        depth  where
───────────────────────────────────────────────────────────────
      6.4  2018-02-06 15:50  11 km  22km NNE of Hualian, Taiwan
      6.0  2018-02-06 15:50         [nowhere]"""
    )


def test_a_summary_of_nothing_has_its_tables_too() -> None:
    assert (
        shown(EMPTY)
        == """\
Nothing · 1970-01-01 00:00

earthquakes  0
b-value      too few events

magnitude  earthquakes      region  earthquakes
────────────────────────    ───────────────────
any                  0

strongest  when (UTC)  depth  where
───────────────────────────────────"""
    )


def test_a_b_value_comes_with_its_error() -> None:
    bare = msgspec.structs.replace(SUMMARY, b_error=None, b_region=None)
    assert "b-value       0.75, from magnitude 1.1 up\n" in shown(bare)
