"""Queues, and why a run waits, over a real API."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from support.ports import closed_port

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def settings(url: str) -> dict[str, str]:
    """Those of a command for an API that has no workers."""
    return {"COLUMNS": "80", "MOUSETRAP_API_URL": url}


def test_queues_are_listed_as_a_table_and_as_json(mousetrap: Command, settings: dict[str, str]) -> None:
    code, table, _ = mousetrap("queues", settings=settings)
    json_code, text, _ = mousetrap("queues", "--json", settings=settings)

    assert (code, json_code) == (0, 0)
    assert table.splitlines()[0].split() == [
        "queue",
        "ready",
        "running",
        "later",
        "dead",
        "waits",
        "in/min",
        "out/min",
    ]
    assert all(len(line) <= 80 for line in table.splitlines())
    listed: list[dict[str, Any]] = json.loads(text)
    assert {"start_fetch", "data_processing"} <= {each["name"] for each in listed}


def test_a_run_that_waits_is_shown_with_the_reason(mousetrap: Command, settings: dict[str, str]) -> None:
    code, _, error = mousetrap("run", "earthquakes", "--no-follow", "--id", "waits", settings=settings)
    assert code == 0, error

    code, shown, _ = mousetrap("show", "waits", settings=settings)

    assert code == 0
    (line,) = (line for line in shown.splitlines() if line.startswith("waits"))
    assert "No worker serves start_fetch" in line


def test_without_an_api_it_ends_with_3(mousetrap: Command) -> None:
    settings = {"MOUSETRAP_API_URL": f"http://127.0.0.1:{closed_port()}"}

    assert mousetrap("queues", settings=settings)[0] == 3


def test_the_doctor_warns_of_what_is_paused_with_who_did_it_and_why(
    mousetrap: Command, settings: dict[str, str], store_url: str
) -> None:
    given = {**settings, "MOUSETRAP_BROKER_URL": store_url, "MOUSETRAP_STORE_URL": store_url}
    every_hour = ("--pipeline", "earthquakes", "--every", "1h")
    for command in (
        ("queues", "pause", "start_fetch", "--why", "ticket 81"),
        ("schedules", "add", "hourly", *every_hour),
        ("schedules", "pause", "hourly", "--why", "noise"),
    ):
        assert mousetrap(*command, settings=settings)[0] == 0

    checks = json.loads(mousetrap("doctor", "--json", settings=given)[1])
    (paused,) = (each for each in checks if each["name"] == "paused")

    assert paused["state"] == "warn"
    assert paused["found"] == "queue start_fetch by loopback (ticket 81), schedule hourly by loopback (noise)"

    mousetrap("queues", "resume", "start_fetch", settings=settings)
    mousetrap("schedules", "resume", "hourly", settings=settings)
    checks = json.loads(mousetrap("doctor", "--json", settings=given)[1])
    assert [each["state"] for each in checks if each["name"] == "paused"] == ["ok"]
