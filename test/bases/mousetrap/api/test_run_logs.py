"""The lines that are kept of a run are shown over HTTP."""

import asyncio
from typing import Any

import httpx
import pytest

from mousetrap.run_logs import RunLogs
from mousetrap.store_client import open_client
from mousetrap.telemetry import AttemptFacts, KeptLine

RUNS = "/pipelines/earthquakes/runs"


def keep(store_url: str, run: str, *messages: str, level: str = "INFO") -> None:
    async def write() -> None:
        client = open_client(store_url, None)
        logs = RunLogs(client, "store", 3600)
        for message in messages:
            logs.add(
                KeptLine(AttemptFacts(run, "earthquakes", "fetch", "j1", 2, "w1"), 5, level, "httpx", message)
            )
        await logs.write_all()
        await client.close()

    asyncio.run(write())


def test_the_lines_of_a_run_are_listed_by_page_and_level(api: httpx.Client, store_url: str) -> None:
    run_id = api.post(RUNS).json()["run_id"]
    keep(store_url, run_id, "GET /feed 200", "read 12 rows")
    keep(store_url, run_id, "no such row", level="ERROR")

    first = api.get(f"/runs/{run_id}/logs", params={"limit": 1}).json()
    rest = api.get(f"/runs/{run_id}/logs", params={"after": first["next"]}).json()
    errors = api.get(f"/runs/{run_id}/logs", params={"level": "WARNING"}).json()

    assert first == {
        "lines": [
            {
                "number": 1,
                "at_ms": 5,
                "level": "INFO",
                "logger": "httpx",
                "message": "GET /feed 200",
                "stage": "fetch",
                "job": "j1",
                "attempt": 2,
                "worker": "w1",
            }
        ],
        "next": 1,
        "dropped": 0,
        "missed": 0,
    }
    assert [each["message"] for each in rest["lines"]] == ["read 12 rows", "no such row"]
    assert rest["next"] is None
    assert [each["number"] for each in errors["lines"]] == [3]


def test_a_run_without_lines_has_none_and_an_unknown_run_is_unknown(api: httpx.Client) -> None:
    run_id = api.post(RUNS).json()["run_id"]

    assert api.get(f"/runs/{run_id}/logs").json() == {"lines": [], "next": None, "dropped": 0, "missed": 0}
    unknown = api.get("/runs/unknown/logs")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:mousetrap:problem:unknown-run")


@pytest.mark.parametrize(
    "asked", [{"level": "LOUD"}, {"limit": 0}, {"limit": 1_001}, {"after": -1}, {"after": "x"}]
)
def test_a_wrong_question_about_lines_is_answered_with_the_place(
    api: httpx.Client, asked: dict[str, Any]
) -> None:
    run_id = api.post(RUNS).json()["run_id"]

    answer = api.get(f"/runs/{run_id}/logs", params=asked)

    assert (answer.status_code, answer.json()["type"]) == (422, "urn:mousetrap:problem:invalid-request")
    assert answer.json()["where"] == f"query.{next(iter(asked))}"
