"""A pipeline's record answers for runs that the run store has forgotten."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import create_engine, text

from mousetrap.api.records import RecordAway, Records
from mousetrap.api_keys import new_key
from mousetrap.catalogue import RECORDS, SETTINGS
from mousetrap.earthquakes import Summary
from mousetrap.earthquakes_settings.groups import DatabaseSettings
from mousetrap.settings import Settings
from mousetrap.summaries import open_summaries
from support.valkey import empty

LATEST = "/pipelines/earthquakes/latest"
_SUMMARY = Summary(
    title="A week",
    generated_ms=1517968154000,
    earthquakes=3,
    other_events={},
    missing_magnitudes=0,
    bands=[],
    regions=[],
    strongest=[],
    magnitude=None,
    depth_km=None,
    b_value=None,
    completeness=None,
)
_NOON = datetime(2026, 2, 7, 12, tzinfo=UTC)
#: SQLite always; and the database that MOUSETRAP_TEST_DATABASE_URL names, whose table of summaries is dropped.
_DATABASES = ["sqlite", *filter(None, [os.environ.get("MOUSETRAP_TEST_DATABASE_URL")])]


@pytest.fixture(params=_DATABASES, ids=lambda url: url.partition(":")[0])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/summaries.db"
    url: str = request.param
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS mousetrap_summaries"))
    engine.dispose()
    return url


def test_once_the_run_is_forgotten_the_record_answers_and_the_answer_shows_it(
    serve: Any, worker: Any, store_url: str, database: str
) -> None:
    api = serve(others=_others(database))
    run_id = api.post("/refresh").json()["run_id"]
    worker.complete(run_id, msgspec.to_builtins(_SUMMARY))
    with open_summaries(database, lambda: _NOON) as summaries:
        summaries.save("job", run_id, _SUMMARY)
    before = {path: api.get(path) for path in ("/", LATEST)}

    empty(store_url)

    for path, shown in before.items():
        answer = api.get(path)
        assert shown.headers["Mousetrap-Source"] == "run"
        assert answer.json() == shown.json() == msgspec.to_builtins(_SUMMARY)
        assert answer.headers["Mousetrap-Source"] == "record"
        assert answer.headers["Mousetrap-Run"] == shown.headers["Mousetrap-Run"] == run_id
        assert answer.headers["Mousetrap-Recorded"] == "2026-02-07T12:00:00.000+00:00"
    assert api.get(f"/runs/{run_id}").status_code == 404


def test_a_record_with_nothing_in_it_is_no_result_and_nothing_is_made(serve: Any, database: str) -> None:
    api = serve(others=_others(database))

    assert api.get("/").json() == {}
    assert api.get(LATEST).json()["type"] == "urn:mousetrap:problem:no-result"
    if database.startswith("sqlite"):
        assert not Path(database.removeprefix("sqlite:///")).exists()
    with open_summaries(database, lambda: _NOON) as summaries:
        assert api.get("/").json() == {}
        summaries.save("job", "r1", _SUMMARY)
    assert api.get("/").headers["Mousetrap-Run"] == "r1"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://someone:s3cret@127.0.0.1:1/mousetrap",
        "mysql://someone:s3cret@127.0.0.1/mousetrap",
        "sqlite:///{folder}/no-database.db",
    ],
)
def test_a_record_that_cannot_be_read_is_a_problem_without_a_password(
    serve: Any, tmp_path: Path, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no-database.db").write_text("this is no database, and longer than a header of one " * 9)
    api: httpx.Client = serve(others=_others(url.replace("{folder}", str(tmp_path))))

    for path in ("/", LATEST):
        answer = api.get(path)
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (503, "urn:mousetrap:problem:record-away")
        assert problem["away"] == ["record"]
        assert "the record of earthquakes's results" in problem["detail"]
        assert "s3cret" not in answer.text
        assert answer.headers["Retry-After"]
    assert "Traceback" not in capfd.readouterr().err


def test_callers_with_keys_see_no_address(serve: Any) -> None:
    key, entry = new_key("reader", ["read"], bytes(32))
    api = serve(others=_others("postgresql+psycopg://a:s3cret@127.0.0.1:1/secretname"), api_keys=entry)

    answer = api.get("/", headers={"Authorization": f"Bearer {key}"})

    assert answer.status_code == 503
    assert "secretname" not in answer.text and "server's log" in answer.json()["detail"]


async def test_what_reads_the_record_can_change_nothing(database: str) -> None:
    with open_summaries(database, lambda: _NOON) as summaries:
        summaries.save("job", "r1", _SUMMARY)
    records = Records(RECORDS, Settings(others=_others(database)))
    assert await records.newest("earthquakes")
    assert await records.newest("another") is None

    engine = records._open["earthquakes"]._engine  # type: ignore[attr-defined]
    with engine.connect() as connection, pytest.raises(Exception, match=r"(?i)readonly|read-only"):
        connection.execute(text("DELETE FROM mousetrap_summaries"))
    await records.aclose()


async def test_a_record_that_cannot_be_imported_is_away() -> None:
    records = Records({"earthquakes": "mousetrap.nowhere:open_record"}, Settings())
    with pytest.raises(RecordAway, match="cannot be imported"):
        await records.newest("earthquakes")


def _others(url: str) -> dict[str, Any]:
    return {group.prefix: group.values() for group in SETTINGS} | {"database": DatabaseSettings(url=url)}
