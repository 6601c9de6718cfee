"""Tests that calls are made after a commit, and only then."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from mousetrap.outbox import after_commit, open_engine
from support.postgres import PostgresServer


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with open_engine(f"sqlite:///{tmp_path}/app.db") as engine, Session(engine) as session:
        session.execute(text("CREATE TABLE orders (number INTEGER)"))
        session.commit()
        yield session


def insert(session: Session) -> None:
    session.execute(text("INSERT INTO orders VALUES (1)"))


def test_the_call_is_made_once_after_the_commit(session: Session) -> None:
    seen: list[int] = []
    insert(session)

    def call() -> None:
        with open_engine(str(session.get_bind().url)) as other, other.connect() as connection:  # type: ignore[union-attr]
            seen.append(connection.execute(text("SELECT count(*) FROM orders")).scalar_one())

    after_commit(session, call)
    assert seen == []
    session.commit()
    assert seen == [1]  # of another connection: committed by then

    insert(session)
    session.commit()
    assert seen == [1]


def test_a_rollback_forgets_the_call(session: Session) -> None:
    seen: list[str] = []
    insert(session)
    after_commit(session, lambda: seen.append("rolled back"))
    session.rollback()
    insert(session)
    after_commit(session, lambda: seen.append("committed"))
    session.commit()

    assert seen == ["committed"]


def test_a_session_that_is_closed_forgets_the_call(session: Session) -> None:
    seen: list[str] = []
    insert(session)
    after_commit(session, lambda: seen.append("closed"))
    session.close()
    insert(session)
    session.commit()

    assert seen == []


def test_calls_of_savepoints_wait_for_the_whole_transaction(session: Session) -> None:
    seen: list[str] = []
    insert(session)
    after_commit(session, lambda: seen.append("first"))
    with session.begin_nested():
        after_commit(session, lambda: seen.append("in a savepoint"))
        with session.begin_nested():
            after_commit(session, lambda: seen.append("in its savepoint"))
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            after_commit(session, lambda: seen.append("rolled back"))
            raise ZeroDivisionError
    assert seen == []
    outer = session.begin_nested()
    with session.begin_nested():
        after_commit(session, lambda: seen.append("released, then rolled back"))
    outer.rollback()
    session.commit()

    assert seen == ["first", "in a savepoint", "in its savepoint"]


def test_a_call_that_fails_is_logged_and_the_others_are_made(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    insert(session)
    after_commit(session, lambda: 1 // 0)
    after_commit(session, lambda: seen.append("made"))
    with caplog.at_level(logging.ERROR):
        session.commit()

    assert seen == ["made"]
    assert "a call after a commit failed" in caplog.text and "ZeroDivisionError" in caplog.text


def test_without_a_transaction_there_is_nothing_to_wait_for(session: Session) -> None:
    with pytest.raises(ValueError, match="no transaction yet"):
        after_commit(session, lambda: None)


def test_a_sync_session_takes_no_async_call(session: Session) -> None:
    async def call() -> None: ...

    insert(session)
    with pytest.raises(TypeError, match="AsyncSession"):
        after_commit(session, call)


async def test_an_async_session_awaits_the_call(postgres: PostgresServer) -> None:
    seen: list[str] = []
    engine = create_async_engine(postgres.url().replace("postgresql:", "postgresql+psycopg:"))
    async with AsyncSession(engine) as session:
        other = AsyncSession(engine)

        async def call() -> None:
            seen.append(str(await other.scalar(text("SELECT 'awaited'"))))

        await session.execute(text("SELECT 1"))
        after_commit(session, call)
        after_commit(session, lambda: seen.append("sync"))
        await session.commit()
        assert seen == ["awaited", "sync"]

        await session.execute(text("SELECT 1"))
        after_commit(session, call)
        await session.rollback()
        await other.close()
    await engine.dispose()
    assert seen == ["awaited", "sync"]
