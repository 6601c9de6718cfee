"""The table of summaries, and its creation by several processes at once."""

from contextlib import suppress

from sqlalchemy import Column, Connection, DateTime, Engine, Integer, MetaData, String, Table, Text, text
from sqlalchemy.exc import OperationalError

_METADATA = MetaData()

SUMMARIES = Table(
    "mousetrap_summaries",
    _METADATA,
    #: The idempotency key of the job that made the summary.
    Column("key", String(200), primary_key=True),
    Column("run_id", String(200), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, index=True),
    #: How many earthquakes the summary counts, for queries in SQL.
    Column("earthquakes", Integer, nullable=False),
    #: JSON.
    Column("summary", Text, nullable=False),
)

#: Any number, the same in every process.
_LOCK = 6_871_947_673


def create_table(engine: Engine) -> None:
    """Makes the table if it is not there; a user who may not create tables needs one made before."""
    if engine.dialect.name == "sqlite":
        # In this mode, which the file keeps, readers and a writer do not wait for each other. SQLite refuses at once while
        # another process sets it: that is harmless, and the next process to open the file tries again.
        with suppress(OperationalError), engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    with engine.begin() as connection:
        _exclude_others(connection)
        _METADATA.create_all(connection)


def _exclude_others(connection: Connection) -> None:
    """Until the transaction ends: IF NOT EXISTS alone fails when two create at the same moment."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
