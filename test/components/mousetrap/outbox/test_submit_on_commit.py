"""Tests that a row lives and dies with the caller's transaction."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, MetaData, inspect, make_url, select, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from mousetrap.blobs import Blob
from mousetrap.handlers import chain, task
from mousetrap.outbox import (
    DEFAULT_TABLE,
    Passed,
    RowUnreadable,
    create_table,
    open_engine,
    open_rows,
    outbox_table,
    submit_on_commit,
)
from mousetrap.outbox.entry import Entry, read_entry
from mousetrap.pipeline import ContractBroken
from mousetrap.submit_run import OptionInvalid, run_id_of_key
from support.outbox import make_outbox
from support.postgres import PostgresServer


class Order(msgspec.Struct):
    number: int


@task
def ship(order: Order) -> int:
    return order.number


@task
def count(number: int) -> str:
    return str(number)


@task
def add(number: int, other: int) -> int:
    return number + other


@pytest.fixture
def url(database_url: str) -> str:
    make_outbox(database_url)
    return database_url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    with open_engine(url) as engine:
        yield engine


@pytest.fixture
def sqlite(tmp_path: Any) -> Iterator[Engine]:
    """For what does not depend on the kind of database."""
    with open_engine(f"sqlite:///{tmp_path}/app.db") as engine:
        create_table(engine, DEFAULT_TABLE)
        yield engine


def entries(engine: Engine, table: str = DEFAULT_TABLE) -> list[Entry]:
    """What a relay would read now."""
    with open_rows(engine.url.render_as_string(hide_password=False), table) as rows:
        taken = rows.take(100, Passed())
        assert taken is not None
        rows.settle(taken, [], [], 0)
        return [read_entry(row) for row in taken.rows]


def run_ids(engine: Engine) -> list[str]:
    return [entry.run_id for entry in entries(engine)]


def test_a_committed_transaction_leaves_its_runs_in_order(engine: Engine) -> None:
    before_ms = int(time.time() * 1000)
    with Session(engine) as session, session.begin():
        ids = [submit_on_commit(session, ship, Order(number), key="k") for number in range(5)]
        assert run_ids(engine) == []

    found = entries(engine)
    assert [entry.run_id for entry in found] == ids
    assert len(set(ids)) == 5
    assert [entry.input for entry in found] == [b'{"number":%d}' % number for number in range(5)]
    assert {(entry.pipeline, entry.key, entry.due_ms, entry.expires_ms, entry.tags) for entry in found} == {
        ("ship", "k", None, None, ())
    }
    assert all(before_ms <= entry.created_ms <= time.time() * 1000 for entry in found)


def test_a_transaction_that_is_rolled_back_leaves_nothing(engine: Engine) -> None:
    with Session(engine) as session:
        submit_on_commit(session, ship, Order(1))
        session.flush()
        session.rollback()
        session.commit()

    assert run_ids(engine) == []


def test_a_savepoint_that_is_rolled_back_leaves_nothing_and_the_rest_stays(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        first = submit_on_commit(session, ship, Order(1))
        savepoint = session.begin_nested()
        submit_on_commit(session, ship, Order(2))
        session.flush()
        savepoint.rollback()
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            submit_on_commit(session, ship, Order(3))
            raise ZeroDivisionError
        with session.begin_nested():
            last = submit_on_commit(session, ship, Order(4))

    assert run_ids(engine) == [first, last]


async def test_an_async_session_is_used_without_await(postgres: PostgresServer) -> None:
    url = postgres.make_database("with_async")
    make_outbox(url)
    engine = create_async_engine(make_url(url).set(drivername="postgresql+psycopg"))
    async with AsyncSession(engine) as session:
        async with session.begin():
            run_id = submit_on_commit(session, ship, Order(1))
        async with session.begin():
            submit_on_commit(session, ship, Order(2))
            await session.flush()
            await session.rollback()
    await engine.dispose()

    with open_engine(url) as sync:
        assert run_ids(sync) == [run_id]
    postgres.drop_database("with_async")


def test_a_scoped_session_will_do(sqlite: Engine) -> None:
    session = scoped_session(sessionmaker(sqlite))
    run_id = submit_on_commit(session, ship, Order(1))
    session.commit()
    session.remove()

    assert run_ids(sqlite) == [run_id]


def test_the_input_is_checked_where_the_contract_is_at_hand(sqlite: Engine) -> None:
    both = chain("both", ship, count)
    with Session(sqlite) as session:
        for target in (ship, ship.pipeline, both):
            with pytest.raises(ContractBroken):
                submit_on_commit(session, target, {"number": "one"})
        with pytest.raises(ContractBroken):
            submit_on_commit(session, "ship", float("nan"))
        session.commit()
        assert run_ids(sqlite) == []

        submit_on_commit(session, both, {"number": 1})
        submit_on_commit(session, "unknown-here", {"any": ["thing"]})
        session.commit()

    assert [(entry.pipeline, entry.input) for entry in entries(sqlite)] == [
        ("both", b'{"number":1}'),
        ("unknown-here", b'{"any":["thing"]}'),
    ]


@task
def play(film: Blob) -> int:
    return film.size


def test_a_file_is_refused_at_once(sqlite: Engine, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(b"x" * 100)
    film = Blob.of(tmp_path / "film")
    with Session(sqlite) as session:
        for target, given in ((play, film), ("play", {"films": [film]})):
            with pytest.raises(ContractBroken, match=r"takes no file.*Submit it with a client"):
                submit_on_commit(session, target, given)
        session.commit()

    assert run_ids(sqlite) == []


def test_a_call_has_its_input_already(sqlite: Engine) -> None:
    with Session(sqlite) as session, session.begin():
        submit_on_commit(session, add.call(1, other=2))
        with pytest.raises(TypeError, match="give an input"):
            submit_on_commit(session, add.call(1, other=2), 3)
        with pytest.raises(TypeError, match="give an input"):
            submit_on_commit(session, ship)

    assert [(entry.pipeline, entry.input) for entry in entries(sqlite)] == [
        ("add", b'{"number":1,"other":2}')
    ]


def test_options_reach_the_relay_and_the_wait_is_taken_off(sqlite: Engine) -> None:
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    with Session(sqlite) as session, session.begin():
        submit_on_commit(session, ship, Order(1), delay=60, expires_in=timedelta(minutes=2), tags=["a", "b"])
        submit_on_commit(session, ship, Order(2), at=in_an_hour, priority=9, tags=["c"])
        submit_on_commit(session, ship, Order(3), id="mine")
        submit_on_commit(session, ship, Order(4), unique="order-4")

    delayed, moment, named, unique = entries(sqlite)
    at_once = delayed.options(delayed.created_ms)
    assert at_once.delay_s == pytest.approx(60, abs=0.002)
    assert at_once.expires_in == pytest.approx(120, abs=0.002)
    assert (at_once.tags, at_once.priority) == (("a", "b"), 4)
    in_time = moment.options(moment.created_ms)
    assert (in_time.tags, in_time.priority) == (("c",), 9)
    half_a_minute_on = delayed.options(delayed.created_ms + 30_000)
    assert half_a_minute_on.delay_s == pytest.approx(30, abs=0.002)
    assert half_a_minute_on.expires_in == pytest.approx(90, abs=0.002)
    too_late = delayed.options(delayed.created_ms + 500_000)
    assert (too_late.delay_s, too_late.expires_in) == (0, 0.001)
    assert moment.due_ms is not None
    assert 0 <= moment.due_ms - in_an_hour.timestamp() * 1000 <= 1.1  # never early
    assert named.run_id == "mine"
    assert unique.run_id == run_id_of_key("client", "ship", "order-4")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"delay": -1}, "delay is -1"),
        ({"delay": 366 * 86_400}, "longest delay"),
        ({"delay": 1, "at": datetime(2040, 1, 1, tzinfo=UTC)}, "give one of them"),
        ({"at": datetime(2040, 1, 1)}, "without a time zone"),
        ({"at": datetime(2020, 1, 1, tzinfo=UTC)}, "ago"),
        ({"delay": 10, "expires_in": 5}, "would never begin"),
        ({"tags": ["x" * 65]}, "tag"),
        ({"tags": "nightly"}, "list of texts"),
        ({"priority": 10}, "0 to 9"),
        ({"priority": True}, "0 to 9"),
        ({"id": "a", "unique": "b"}, "give one"),
        ({"id": "a b"}, "1 to 64"),
        ({"id": ""}, "1 to 64"),
        ({"unique": ""}, "1 to 255"),
        ({"unique": "Größe"}, "ASCII"),
        ({"key": "x" * 201}, "at most 200"),
        ({"key": "a\0b"}, "printable"),
    ],
)
def test_an_option_without_a_meaning_is_refused_at_once(
    sqlite: Engine, options: dict[str, Any], text: str
) -> None:
    with Session(sqlite) as session:
        with pytest.raises(OptionInvalid, match=text):
            submit_on_commit(session, ship, Order(1), **options)
        session.commit()
    assert run_ids(sqlite) == []


def test_an_option_that_is_not_known_writes_no_row(sqlite: Engine) -> None:
    options: dict[str, Any] = {"dealy": 60}
    with Session(sqlite) as session:
        with pytest.raises(TypeError, match="no option dealy"):
            submit_on_commit(session, ship, Order(1), **options)
        session.commit()
    assert run_ids(sqlite) == []


@pytest.mark.parametrize("run_id", ["", "a b", "x" * 65])
def test_a_row_whose_run_id_is_none_is_unreadable(sqlite: Engine, run_id: str) -> None:
    with Session(sqlite) as session, session.begin():
        submit_on_commit(session, ship, Order(1))
        session.flush()
        session.execute(update(outbox_table(MetaData())).values(run_id=run_id))

    with pytest.raises(RowUnreadable, match=r"run_id: .* 1 to 64 letters"):
        entries(sqlite)


def test_a_text_that_is_no_name_is_refused(sqlite: Engine) -> None:
    with Session(sqlite) as session, pytest.raises(ValueError, match="no pipeline's name"):
        submit_on_commit(session, "what a name", 1)


def test_the_table_is_one_of_the_caller_s_metadata(database_url: str) -> None:
    metadata = MetaData()
    table = outbox_table(metadata, "my_outbox")
    with open_engine(database_url) as engine:
        metadata.create_all(engine)
        create_table(engine, "my_outbox")  # changes nothing
        with Session(engine) as session, session.begin():
            run_id = submit_on_commit(session, ship, Order(1), table="my_outbox")
        assert [entry.run_id for entry in entries(engine, "my_outbox")] == [run_id]
        with engine.connect() as connection:
            assert connection.execute(select(table.c.run_id)).scalars().all() == [run_id]
        assert {index["name"] for index in inspect(engine).get_indexes("my_outbox")} == {
            "ix_my_outbox_state_id",
            "ix_my_outbox_key_id",
        }
