"""Saves summaries, counts them, and finds the newest."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Insert, func, select
from sqlalchemy.dialects import postgresql, sqlite

from mousetrap.catalogue_entries import Recorded
from mousetrap.earthquakes import Summary
from mousetrap.summaries.database import open_engine, reached
from mousetrap.summaries.table import SUMMARIES, create_table


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSummary:
    """A summary with its run and time."""

    run_id: str
    created_at: datetime
    summary: Summary


class Summaries:
    """The stored summaries; threads may share one. Every call raises SummariesUnreachable while the database is
    unreachable, and SummariesRefused when it refuses.
    """

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._now = now

    def save(self, key: str, run_id: str, summary: Summary) -> bool:
        """Stores the summary, for good when this returns. False, and nothing changed, if `key` has one already."""
        row = {
            "key": key,
            "run_id": run_id,
            "created_at": self._now(),
            "earthquakes": summary.earthquakes,
            "summary": msgspec.json.encode(summary).decode(),
        }
        with reached(self._engine.url), self._engine.begin() as connection:
            return connection.execute(_insert_new(self._engine.dialect.name, row)).rowcount == 1

    def newest(self) -> StoredSummary | None:
        """The one stored last; None before the first."""
        with reached(self._engine.url), self._engine.connect() as connection:
            row = newest_row(connection)
        return row and StoredSummary(
            run_id=row.run_id, created_at=row.at, summary=msgspec.json.decode(row.result, type=Summary)
        )

    def count(self) -> int:
        """How many there are."""
        with reached(self._engine.url), self._engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(SUMMARIES)).scalar_one()


def newest_row(connection: Connection) -> Recorded | None:
    """The summary stored last, as JSON; None before the first."""
    columns = SUMMARIES.c
    query = select(columns.run_id, columns.created_at, columns.summary)
    query = query.order_by(columns.created_at.desc(), columns.key.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return row and Recorded(run_id=row.run_id, at=_in_utc(row.created_at), result=row.summary)


def _insert_new(dialect: str, row: dict[str, Any]) -> Insert:
    """An insert that ignores an existing key and reports whether it inserted; each dialect has its own."""
    insert: Insert
    if dialect == "sqlite":
        insert = sqlite.insert(SUMMARIES).values(row).on_conflict_do_nothing()
    else:
        insert = postgresql.insert(SUMMARIES).values(row).on_conflict_do_nothing()
    return insert.execution_options(preserve_rowcount=True)


def utc_now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


@contextmanager
def open_summaries(url: str, now: Callable[[], datetime] = utc_now) -> Iterator[Summaries]:
    """The summaries in the database at `url`; the table is made if it is not there.

    Raises ValueError for an unsupported address, SummariesUnreachable for an unreachable database, and
    SummariesRefused for one that refuses.
    """
    engine = open_engine(url)
    try:
        with reached(engine.url):
            create_table(engine)
        yield Summaries(engine, now)
    finally:
        engine.dispose()


def _in_utc(moment: datetime) -> datetime:
    """SQLite keeps no time zone; all times are written in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
