"""The one table of the summaries, and how it comes to be when several processes open it at once."""

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
    #: How many earthquakes were summed up, for those who look with SQL.
    Column("earthquakes", Integer, nullable=False),
    #: JSON.
    Column("summary", Text, nullable=False),
)

#: Any number will do, as long as all of us take the same.
_LOCK = 6_871_947_673


def create_table(engine: Engine) -> None:
    """Makes the table if it is not there; a user who may not create tables needs one made before."""
    if engine.dialect.name == "sqlite":
        # Readers and a writer then no longer wait for each other; the file remembers it. SQLite refuses, without a wait, when
        # another is at the same: it does us no harm to go on, and who opens next tries again.
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
