"""Tests what a relay takes, and how it settles it."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import OperationalError

from mousetrap.outbox import (
    DEFAULT_TABLE,
    OutboxRefused,
    OutboxUnreachable,
    Passed,
    Refusal,
    Rows,
    Status,
    Taken,
    discard_set_aside,
    list_set_aside,
    open_engine,
    open_rows,
    retry_set_aside,
)
from support.outbox import make_outbox, write_rows
from support.postgres import PostgresServer

NOTHING = Passed()


@pytest.fixture
def url(database_url: str) -> str:
    """A database with an outbox table."""
    make_outbox(database_url)
    return database_url


@pytest.fixture
def rows(url: str) -> Iterator[Rows]:
    with open_rows(url, DEFAULT_TABLE) as rows:
        yield rows


def taken_from(rows: Rows, most: int = 100, passed: Passed = NOTHING) -> Taken:
    taken = rows.take(most, passed)
    assert taken is not None
    return taken


def ids(taken: Taken) -> list[str]:
    return [row["run_id"] for row in taken.rows]


def test_what_is_accepted_is_gone_and_the_rest_comes_again(url: str, rows: Rows) -> None:
    first, second, third = write_rows(url, "", "", "")

    taken = taken_from(rows)
    assert ids(taken) == [first, second, third]
    rows.settle(taken, [taken.rows[1]["id"]], [], 0)

    taken = taken_from(rows)
    assert ids(taken) == [first, third]
    rows.settle(taken, [], [], 0)


def test_no_more_are_taken_than_asked_for_oldest_first(url: str, rows: Rows) -> None:
    written = write_rows(url, *"abcde")

    taken = taken_from(rows, most=3)

    assert ids(taken) == written[:3]
    rows.settle(taken, [], [], 0)


def test_a_row_set_aside_blocks_its_key_and_no_other(url: str, rows: Rows) -> None:
    bad, behind, other, without_key = write_rows(url, "k", "k", "other", "")
    taken = taken_from(rows)
    rows.settle(taken, [], [Refusal(taken.rows[0]["id"], "no such pipeline")], 7_000)

    taken = taken_from(rows)
    assert ids(taken) == [other, without_key]
    rows.settle(taken, [row["id"] for row in taken.rows], [], 0)
    status = rows.status()
    assert (status.waiting, status.set_aside, status.blocked) == (1, 1, 1)

    with open_engine(url) as engine:
        (listed,) = list_set_aside(engine, DEFAULT_TABLE, limit=10)
        assert (listed.run_id, listed.error, listed.set_aside_ms) == (bad, "no such pipeline", 7_000)
        assert (listed.key, listed.pipeline, listed.input, listed.blocks) == ("k", "p", "0", 1)
        assert retry_set_aside(engine, DEFAULT_TABLE, [listed.id]) == 1
    taken = taken_from(rows)
    assert ids(taken) == [bad, behind]
    rows.settle(taken, [], [], 0)


def test_a_row_without_a_key_that_is_set_aside_blocks_nothing(url: str, rows: Rows) -> None:
    _, other = write_rows(url, "", "")
    taken = taken_from(rows)
    rows.settle(taken, [], [Refusal(taken.rows[0]["id"], "refused")], 0)

    taken = taken_from(rows)
    assert ids(taken) == [other]
    rows.settle(taken, [], [], 0)


def test_only_rows_set_aside_are_discarded(url: str, rows: Rows) -> None:
    bad, good = write_rows(url, "", "")
    taken = taken_from(rows)
    numbers = [row["id"] for row in taken.rows]
    rows.settle(taken, [], [Refusal(numbers[0], "refused")], 0)

    with open_engine(url) as engine:
        assert discard_set_aside(engine, DEFAULT_TABLE, [numbers[1]]) == 0
        assert retry_set_aside(engine, DEFAULT_TABLE, [numbers[1]]) == 0
        assert discard_set_aside(engine, DEFAULT_TABLE, None) == 1
        assert list_set_aside(engine, DEFAULT_TABLE, limit=10) == []

    taken = taken_from(rows)
    assert ids(taken) == [good]
    rows.settle(taken, [], [], 0)
    assert bad not in ids(taken)


def test_a_pipeline_that_is_passed_over_keeps_its_keys_in_order(url: str, rows: Rows) -> None:
    write_rows(url, "k", "", pipeline="held")
    _, free = write_rows(url, "k", "free")

    taken = taken_from(rows, passed=Passed(pipelines=["held"]))

    assert ids(taken) == [free]
    assert taken.late_keys == {"k"}
    rows.settle(taken, [], [], 0)


def test_a_key_that_is_passed_over_is_not_looked_at(url: str, rows: Rows) -> None:
    _, other = write_rows(url, "k", "other")

    taken = taken_from(rows, most=1, passed=Passed(keys=["k"]))

    assert ids(taken) == [other]
    rows.settle(taken, [], [], 0)


def test_the_age_of_the_oldest_row_is_known(url: str, rows: Rows) -> None:
    assert rows.status() == Status(0, None, 0, 0)
    before_ms = int(time.time() * 1000)

    write_rows(url, "", "k")

    status = rows.status()
    assert (status.waiting, status.set_aside, status.blocked) == (2, 0, 0)
    assert status.oldest_ms is not None and before_ms <= status.oldest_ms <= time.time() * 1000


def test_on_postgresql_two_relays_take_different_rows_and_each_key_is_one_s(postgres_url: str) -> None:
    written = write_rows(postgres_url, "a", "b", "", "a", "b", "c", "")
    with open_rows(postgres_url, DEFAULT_TABLE) as one, open_rows(postgres_url, DEFAULT_TABLE) as other:
        first = taken_from(one, most=3)
        second = taken_from(other)

        assert ids(first) == written[:3]
        assert ids(second) == written[5:]
        assert second.late_keys == {"a", "b"}

        one.settle(first, [row["id"] for row in first.rows], [], 0)
        other.settle(second, [row["id"] for row in second.rows], [], 0)
        last = taken_from(other)
        assert ids(last) == written[3:5]
        other.settle(last, [], [], 0)


def test_on_postgresql_the_rows_of_a_relay_that_is_gone_are_taken_at_once(postgres_url: str) -> None:
    written = write_rows(postgres_url, "a", "a")
    with open_rows(postgres_url, DEFAULT_TABLE) as other:
        with open_rows(postgres_url, DEFAULT_TABLE) as gone:
            lost = taken_from(gone)
            assert ids(taken_from(other)) == []
            assert lost.connection is not None
            lost.connection.invalidate()  # as the server sees a process that was killed

        taken = taken_from(other)
        assert ids(taken) == written
        other.settle(taken, [], [], 0)


def test_on_sqlite_one_relay_serves_and_the_next_takes_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    make_outbox(url)
    written = write_rows(url, "a")
    with open_rows(url, DEFAULT_TABLE) as other:
        with open_rows(url, DEFAULT_TABLE) as one:
            assert ids(taken_from(one)) == written
            assert other.take(10, NOTHING) is None

        assert ids(taken_from(other)) == written


def test_on_sqlite_the_caller_can_write_while_a_batch_is_under_way(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    make_outbox(url)
    first = write_rows(url, "a")
    with open_rows(url, DEFAULT_TABLE) as rows:
        taken = taken_from(rows)
        second = write_rows(url, "a")  # would wait for ten seconds, and fail, if the batch held the database

        rows.settle(taken, [taken.rows[0]["id"]], [], 0)
        assert (ids(taken), ids(taken_from(rows))) == (first, second)


def test_a_number_is_not_used_twice(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    make_outbox(url)
    write_rows(url, "")
    with open_rows(url, DEFAULT_TABLE) as rows:
        taken = taken_from(rows)
        rows.settle(taken, [taken.rows[0]["id"]], [], 0)
        write_rows(url, "")

        assert taken_from(rows).rows[0]["id"] > taken.rows[0]["id"]


def test_a_missing_table_is_an_error_that_names_the_fix(database_url: str) -> None:
    with (
        open_rows(database_url, DEFAULT_TABLE) as rows,
        pytest.raises(OutboxRefused, match="mousetrap outbox create"),
    ):
        rows.take(1, NOTHING)


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    with (
        open_rows("postgresql://user:secret@127.0.0.1:1/app", DEFAULT_TABLE) as rows,
        pytest.raises(OutboxUnreachable) as raised,
    ):
        rows.take(1, NOTHING)
    assert "127.0.0.1:1" in str(raised.value) and "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["sqlite://", "mysql://u:secret@h/d", "no address"])
def test_an_address_that_cannot_be_relayed_from_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="give sqlite:///path") as raised, open_engine(url):
        pass
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgresql+asyncpg://u@h/d", "postgresql+psycopg"),
        ("postgres://u@h/d", "postgresql+psycopg"),
        ("sqlite+aiosqlite:///x.db", "sqlite"),
    ],
)
def test_the_relay_brings_its_own_driver(given: str, driver: str) -> None:
    with open_engine(given) as engine:
        assert engine.url.drivername == driver


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A database with an outbox table, on PostgreSQL."""
    url = postgres.make_database("two_relays")
    make_outbox(url)
    yield url
    postgres.drop_database("two_relays")


def test_a_database_that_goes_away_at_the_end_of_a_look_is_unreachable(tmp_path: Path) -> None:
    """Nothing was taken, so the look is rolled back; the relay waits for what is unreachable alone."""
    url = f"sqlite:///{tmp_path}/app.db"
    make_outbox(url)
    engine = create_engine(url)

    def goes_away(_connection: Connection) -> None:
        raise OperationalError("ROLLBACK", None, Exception("server closed the connection"))

    with closing(Rows(engine, DEFAULT_TABLE)) as rows:
        event.listen(engine, "rollback", goes_away)
        with pytest.raises(OutboxUnreachable, match="server closed"):
            rows.take(1, NOTHING)
        event.remove(engine, "rollback", goes_away)
    engine.dispose()
