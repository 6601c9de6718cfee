"""Tests summaries in a real database."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from subprocess import PIPE

import msgspec
import pytest
from sqlalchemy import create_engine, text

from mousetrap.earthquakes import Band, Earthquake, Region, Spread, Summary
from mousetrap.retry import Outage
from mousetrap.summaries import (
    StoredSummary,
    Summaries,
    SummariesRefused,
    SummariesUnreachable,
    database,
    open_summaries,
)

_SUMMARY = Summary(
    title="A week “as named”",
    generated_ms=1517968154000,
    earthquakes=3,
    other_events={"quarry blast": 1},
    missing_magnitudes=1,
    bands=[Band(None, 1.0, 2)],
    regions=[Region("São Jorge", 3)],
    strongest=[Earthquake("a", 6.4, "Nowhere", 1, 121.653, 24.1737, None, "earthquake")],
    magnitude=Spread(0.0, 0.5, 1.0, 2.0, 6.4),
    depth_km=None,
    b_value=0.7512677056620234,
    completeness=1.1,
)
_NOON = datetime(2018, 2, 7, 12, tzinfo=UTC)


#: SQLite always; and the database that MOUSETRAP_TEST_DATABASE_URL names, whose table of summaries is dropped.
_DATABASES = ["sqlite", *filter(None, [os.environ.get("MOUSETRAP_TEST_DATABASE_URL")])]

#: One of several processes that open the same new database and repeat the same jobs, from the word to go.
_WRITER = """
import sys, msgspec
from mousetrap.earthquakes import Summary
from mousetrap.summaries import open_summaries

print("ready", flush=True)
summary = msgspec.json.decode(sys.stdin.readline(), type=Summary)
with open_summaries(sys.argv[1]) as summaries:
    print(sum(summaries.save(f"job-{number}", "run", summary) for number in range(20)))
"""


@pytest.fixture(params=_DATABASES, ids=lambda url: url.partition(":")[0])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without summaries."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/summaries.db"
    engine = create_engine(request.param)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS mousetrap_summaries"))
    engine.dispose()
    return str(request.param)


@pytest.fixture
def summaries(url: str) -> Iterator[Summaries]:
    """Summaries whose clock is a minute on at each look."""
    minutes = count()
    with open_summaries(url, now=lambda: _NOON + timedelta(minutes=next(minutes))) as summaries:
        yield summaries


def _summary(title: str) -> Summary:
    return msgspec.structs.replace(_SUMMARY, title=title)


def test_a_saved_summary_comes_back_whole(summaries: Summaries) -> None:
    assert summaries.save("job-1", "run-1", _SUMMARY)

    assert summaries.newest() == StoredSummary(run_id="run-1", created_at=_NOON, summary=_SUMMARY)


def test_nothing_saved_has_no_newest(summaries: Summaries) -> None:
    assert summaries.newest() is None
    assert summaries.count() == 0


def test_a_repeated_job_changes_nothing(summaries: Summaries) -> None:
    summaries.save("job-1", "run-1", _SUMMARY)

    assert not summaries.save("job-1", "run-9", _summary("another"))

    assert summaries.count() == 1
    assert summaries.newest() == StoredSummary(run_id="run-1", created_at=_NOON, summary=_SUMMARY)


def test_the_newest_is_the_one_stored_last(summaries: Summaries) -> None:
    for number in (2, 1, 3):
        summaries.save(f"job-{number}", f"run-{number}", _summary(f"week {number}"))
    summaries.save("job-1", "run-1", _SUMMARY)

    newest = summaries.newest()

    assert newest is not None
    assert (newest.run_id, newest.summary.title) == ("run-3", "week 3")


def test_summaries_outlive_those_who_wrote_them(url: str) -> None:
    with open_summaries(url) as summaries:
        summaries.save("job-1", "run-1", _SUMMARY)

    with open_summaries(url) as summaries:
        newest = summaries.newest()

    assert newest is not None
    assert newest.summary == _SUMMARY
    assert newest.created_at.tzinfo is UTC


def test_threads_that_repeat_each_others_jobs_store_each_once(summaries: Summaries) -> None:
    with ThreadPoolExecutor(max_workers=8) as threads:
        stored = list(
            threads.map(
                lambda number: summaries.save(f"job-{number % 25}", f"run-{number}", _SUMMARY), range(200)
            )
        )

    assert stored.count(True) == 25
    assert summaries.count() == 25


@pytest.mark.slow
def test_processes_that_open_a_new_database_at_once_store_each_job_once(url: str) -> None:
    # given processes that are ready, and wait for the word
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, url], stdin=PIPE, stdout=PIPE, text=True)
        for _ in range(4)
    ]
    assert [writer.stdout.readline() for writer in writers if writer.stdout] == ["ready\n"] * 4

    for writer in writers:
        assert writer.stdin
        writer.stdin.write(msgspec.json.encode(_SUMMARY).decode() + "\n")
        writer.stdin.flush()
    outputs = [writer.communicate(timeout=60)[0] for writer in writers]

    assert sum(map(int, outputs)) == 20
    with open_summaries(url) as summaries:
        assert summaries.count() == 20


def test_a_database_that_is_away_is_reported_without_its_password() -> None:
    address = "postgresql+psycopg://reader:secret@127.0.0.1:1/week?sslpassword=secret"

    with pytest.raises(SummariesUnreachable) as unreachable, open_summaries(address):
        """Never entered."""

    assert "postgresql+psycopg://reader:***@127.0.0.1:1/week" in str(unreachable.value)
    assert "secret" not in str(unreachable.value)


def test_a_database_that_is_locked_is_an_outage_and_one_that_refuses_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database._CONNECT["sqlite"], "timeout", 0.01)
    url = f"sqlite:///{tmp_path}/summaries.db"
    with open_summaries(url) as summaries, closing(sqlite3.connect(tmp_path / "summaries.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Outage, match="database is locked"):
            summaries.save("job-1", "run-1", _SUMMARY)
        other.execute("ROLLBACK")
        no = "CREATE TRIGGER no BEFORE INSERT ON mousetrap_summaries BEGIN SELECT RAISE(ABORT, 'no'); END"
        other.execute(no)
        with pytest.raises(SummariesRefused, match="no") as refused:
            summaries.save("job-1", "run-1", _SUMMARY)

    assert not isinstance(refused.value, Outage)


def test_a_table_that_is_missing_is_no_outage(tmp_path: Path) -> None:
    with (
        open_summaries(f"sqlite:///{tmp_path}/summaries.db") as summaries,
        closing(sqlite3.connect(tmp_path / "summaries.db")) as other,
    ):
        other.execute("DROP TABLE mousetrap_summaries")
        with pytest.raises(SummariesRefused, match="no such table"):
            summaries.save("job-1", "run-1", _SUMMARY)


def test_a_file_that_cannot_be_opened_is_reported(tmp_path: Path) -> None:
    with (
        pytest.raises(SummariesUnreachable, match="unable to open database file"),
        open_summaries(f"sqlite:///{tmp_path}/no/such/folder.db"),
    ):
        """Never entered."""


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database" * 100)

    with (
        pytest.raises(SummariesRefused, match="file is not a database"),
        open_summaries(f"sqlite:///{tmp_path}/notes.txt"),
    ):
        """Never entered."""


@pytest.mark.parametrize(
    "address",
    [
        "nonsense secret",
        "postgresql+psycopg://reader:secret@host:port/week",
        "postgresql+asyncpg://reader:secret@host/week",
        "mysql://reader:secret@host/week",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_an_address_of_none_of_our_databases_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(ValueError, match="give sqlite:///") as refused, open_summaries(address):
        """Never entered."""

    assert "secret" not in str(refused.value)
