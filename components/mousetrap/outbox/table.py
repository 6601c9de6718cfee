"""The outbox table, for the caller's metadata and by itself."""

import functools
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.orm import registry

#: The table's name unless another is given.
DEFAULT_TABLE = "mousetrap_outbox"
#: The longest ordering key.
LONGEST_KEY = 200

#: States of a row; a row whose run was accepted is deleted.
WAITING, SET_ASIDE = "waiting", "set-aside"
#: Any number, the same in every process.
_LOCK = 5_417_209_331


def outbox_table(metadata: MetaData, name: str = DEFAULT_TABLE) -> Table:
    """Adds the outbox table to `metadata`, so that `create_all` and Alembic make it with the caller's own tables."""
    return Table(
        name,
        metadata,
        # Numbers grow and none is used twice: they are the order of a key's rows.
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        #: Rows of one key are submitted in order; empty for rows without an order.
        Column("key", String(LONGEST_KEY), nullable=False),
        Column("state", String(16), nullable=False),
        Column("run_id", String(64), nullable=False),
        Column("pipeline", String(64), nullable=False),
        #: JSON.
        Column("input", Text, nullable=False),
        #: Milliseconds since 1970: the run begins no earlier; no job of it begins any more after the second.
        Column("due_ms", BigInteger),
        Column("expires_ms", BigInteger),
        #: A JSON list of texts.
        Column("tags", Text, nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        #: Why and when it was set aside.
        Column("error", Text),
        Column("set_aside_ms", BigInteger),
        Index(f"ix_{name}_state_id", "state", "id"),
        Index(f"ix_{name}_key_id", "key", "id"),
        sqlite_autoincrement=True,
    )


@functools.cache
def own_table(name: str) -> Table:
    """The table of that name, in a metadata of its own."""
    return outbox_table(MetaData(), name)


@functools.cache
def row_class(name: str) -> type[Any]:
    """A class mapped to the table of that name: a session writes its instances when it flushes."""
    mapped = type("OutboxRow", (), {"__doc__": "A row of the outbox, as the caller's session has it."})
    registry().map_imperatively(mapped, own_table(name))
    return mapped


def create_table(engine: Engine, name: str) -> None:
    """Makes the table and its indexes if they are not there; several processes may do it at once."""
    with engine.begin() as connection:
        _exclude_others(connection)
        own_table(name).metadata.create_all(connection)


def _exclude_others(connection: Connection) -> None:
    """Until the transaction ends: IF NOT EXISTS alone fails when two create at the same moment."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
