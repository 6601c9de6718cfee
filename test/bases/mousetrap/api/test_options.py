"""A run is started later, with an end and tags."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

RUNS = "/pipelines/earthquakes/runs"


def start(api: httpx.Client, **query: Any) -> dict[str, Any]:
    """The run that was started so."""
    answer = api.post(RUNS, params=query)
    assert answer.status_code == 202, answer.text
    run: dict[str, Any] = api.get(answer.headers["location"]).json()
    return run


def test_a_run_begins_no_earlier_than_its_delay(api: httpx.Client) -> None:
    run = start(api, delay=90)

    assert run["state"] == "queued"
    assert 89_000 < run["due_ms"] - run["accepted_ms"] < 91_000


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-5))])
def test_a_run_begins_no_earlier_than_its_time(api: httpx.Client, zone: timezone) -> None:
    at = datetime.now(zone) + timedelta(hours=2)

    run = start(api, at=at.isoformat())

    assert abs(run["due_ms"] - at.timestamp() * 1000) < 2_000


def test_a_time_that_is_just_over_is_now(api: httpx.Client) -> None:
    run = start(api, at=datetime.now(UTC).isoformat())

    assert run["due_ms"] is None


def test_tags_are_shown_with_the_run_and_in_lists(api: httpx.Client) -> None:
    run = start(api, tags=["nightly", "a b"])

    assert run["tags"] == ["nightly", "a b"]
    (listed,) = api.get("/runs").json()["runs"]
    assert (listed["tags"], listed["due_ms"]) == (["nightly", "a b"], None)


@pytest.mark.parametrize(
    ("query", "where", "advice"),
    [
        ({"at": "2020-01-01T00:00:00Z"}, "at", "give a later time"),
        ({"at": "2999-01-01T00:00:00"}, "at", "without a time zone"),
        ({"at": "2999-01-01T00:00:00 01:00"}, "at", "%2B"),
        ({"at": "tomorrow"}, "at", "ISO 8601"),
        ({"at": "2999-01-01T00:00:00Z"}, "at", "longest delay"),
        ({"at": "2999-01-01T00:00:00Z", "delay": 1}, "at", "give one of them"),
        ({"delay": 400 * 86_400}, "delay", "longest delay"),
        ({"delay": -1}, "delay", ""),
        ({"delay": "nan"}, "delay", ""),
        ({"delay": 60, "expires_in": 60}, "expires_in", "never begin"),
        ({"tags": ["x"] * 17}, "tags", "at most 16"),
        ({"tags": "x" * 65}, "tags", "64"),
        ({"tags": ""}, "tags", "leave it out"),
        ({"wait": 0}, "wait", ""),
        ({"wait": 61}, "wait", "60"),
        ({"tag": "x"}, "tag", "tags"),
    ],
)
def test_an_option_without_meaning_is_refused_with_the_fix(
    api: httpx.Client, query: dict[str, Any], where: str, advice: str
) -> None:
    answer = api.post(RUNS, params=query)

    assert (answer.status_code, answer.json()["where"]) == (422, f"query.{where}")
    assert advice in answer.json()["detail"]
    assert api.get("/runs").json()["runs"] == []


def test_a_repeat_keeps_the_first_run_as_it_is(api: httpx.Client) -> None:
    first = start(api, run_id="a", delay=3_600, tags="one")

    again = start(api, run_id="a", tags="two")

    assert again == first
