"""Opens the outbox's database for a relay, and translates its errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from mousetrap.outbox.errors import OutboxRefused, OutboxUnreachable
from mousetrap.settings import masked

#: The database of an outbox, as its users pass it on.
Database = Engine

_FORMS = "give sqlite:///path/to/file.db or postgresql://user:password@host/database"

#: Raised by databases that are unreachable, locked, full, shutting down or a read-only replica.
_AWAY = (OperationalError, InterfaceError, InternalError)
#: The driver and the options of a connection, by kind of database.
_CONNECT: dict[str, tuple[str, dict[str, Any]]] = {
    # Seconds that a writer waits for another writer.
    "sqlite": ("sqlite", {"timeout": 10.0}),
    "postgresql": (
        "postgresql+psycopg",
        {
            # Seconds to connect, and milliseconds until a silent server counts as lost.
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,
            # A relay that is cut off holds its rows for no longer: the server ends its transaction.
            "options": "-c idle_in_transaction_session_timeout=60s",
        },
    ),
}


@contextmanager
def open_engine(url: str) -> Iterator[Engine]:
    """An engine for `url`, whatever driver it names; it connects when it is first used.

    Raises ValueError for an address that cannot be read, or of another kind of database.
    """
    parsed, connect = _parse(url)
    # Each statement is to see what others committed before it, whatever the database's own default is.
    level = {} if parsed.get_backend_name() == "sqlite" else {"isolation_level": "READ COMMITTED"}
    engine = create_engine(parsed, connect_args=connect, pool_pre_ping=True, **level)
    try:
        yield engine
    finally:
        engine.dispose()


def _parse(url: str) -> tuple[URL, dict[str, Any]]:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"the address of the outbox's database cannot be read: {_FORMS}") from None
    backend = parsed.get_backend_name()
    kind = "postgresql" if backend == "postgres" else backend
    in_memory = kind == "sqlite" and parsed.database in (None, "", ":memory:")
    if kind not in _CONNECT or in_memory:
        raise ValueError(f"{masked(url)} is no database that an outbox can be relayed from: {_FORMS}")
    driver, connect = _CONNECT[kind]
    return parsed.set(drivername=driver), connect


def place_of(engine: Engine) -> str:
    """The address without its password, and without its options, which may hold one."""
    return engine.url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def reached(engine: Engine) -> Iterator[None]:
    """Translates the library's errors into OutboxUnreachable, or OutboxRefused where waiting does not help."""
    place = place_of(engine)
    try:
        yield
    except DBAPIError as error:
        why = str(error.orig).partition("\n")[0]
        if is_away(error):
            raise OutboxUnreachable(f"the outbox's database {place} does not serve: {why}") from None
        raise OutboxRefused(f"the outbox's database {place} refuses: {why}{_advice(why)}") from None
    except NoConnectionFree:
        raise OutboxUnreachable(f"all connections to the outbox's database {place} are busy") from None


def is_away(error: DBAPIError) -> bool:
    """Whether the database is away for now, and did not refuse."""
    # SQLite raises the same error for a missing table as for a locked file, with another code.
    code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_BUSY)
    return isinstance(error, _AWAY) and code != sqlite3.SQLITE_ERROR


def _advice(why: str) -> str:
    if "no such table" in why or "does not exist" in why:
        return ". Make the table with `mousetrap outbox create`, or with your own migrations (`outbox_table`)"
    return ""
