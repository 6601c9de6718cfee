"""Tests the feeds of the week's days."""

import httpx

from mousetrap.earthquakes_sample import day_addresses, served_week


def test_the_days_have_the_events_of_the_week_each_once_and_in_order() -> None:
    with served_week() as url:
        week = httpx.get(url, timeout=60).json()
        days = [httpx.get(day, timeout=60).json() for day in day_addresses(url)]

    assert [day["metadata"]["title"] for day in days] == [
        *("2018-01-31", "2018-02-01", "2018-02-02", "2018-02-03"),
        *("2018-02-04", "2018-02-05", "2018-02-06", "2018-02-07"),
    ]
    assert sorted(each["id"] for day in days for each in day["features"]) == sorted(
        each["id"] for each in week["features"]
    )
    assert all(day["metadata"]["count"] == len(day["features"]) for day in days)


def test_a_day_that_the_week_does_not_have_is_not_served() -> None:
    with served_week() as url:
        day = day_addresses(url)[0]
        assert httpx.get(day.replace("01-31", "01-30"), timeout=60).status_code == 404
