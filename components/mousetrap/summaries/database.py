"""Opens the database, and translates its errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.event import listen
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from mousetrap.summaries.errors import SummariesRefused, SummariesUnreachable

_FORMS = "give sqlite:///path/to/file.db or postgresql+psycopg://user:password@host/database"

#: Raised by databases that are unreachable, locked, full, shutting down or a read-only replica.
_AWAY = (OperationalError, InterfaceError, InternalError)
#: Seconds that a reader of SQLite's file waits for a writer: its caller waits for the answer.
_READER: dict[str, Any] = {"timeout": 1.0}
#: The options of a connection, by kind of database.
_CONNECT: dict[str, dict[str, Any]] = {
    # Seconds that a writer waits for another writer.
    "sqlite": {"timeout": 10.0},
    # Seconds to connect, and milliseconds until a silent server counts as lost: a job waits for the response.
    "postgresql": {"connect_timeout": 2, "tcp_user_timeout": 2000},
}


def open_engine(url: str) -> Engine:
    """An engine for `url`; it connects when it is first used.

    Raises ValueError for an unsupported address.
    """
    parsed = parse(url)
    kind = _kind(parsed)
    return create_engine(parsed, connect_args=_CONNECT[kind], pool_pre_ping=kind == "postgresql")


def open_reader(url: str) -> Engine | None:
    """An engine for `url` that can change nothing; None where SQLite's file is not there, which is not made.

    Raises ValueError for an unsupported address.
    """
    parsed = parse(url)
    if _kind(parsed) == "postgresql":
        read_only = {**_CONNECT["postgresql"], "options": "-c default_transaction_read_only=on"}
        return create_engine(parsed, connect_args=read_only, pool_pre_ping=True, pool_size=1)
    file = Path(parsed.database or "").absolute()
    if not file.exists():
        return None
    # Not SQLite's own read-only mode: in the file's journal mode a reader must be able to make the files beside it.
    engine = create_engine(
        URL.create("sqlite", database=f"file:{quote(str(file))}", query={"mode": "rw", "uri": "true"}),
        connect_args=_READER,
    )
    listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
    return engine


def parse(url: str) -> URL:
    """The address of a database. Raises ValueError for an unsupported one."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"the address of the summaries' database cannot be read: {_FORMS}") from None
    kind = _kind(parsed)
    in_memory = kind == "sqlite" and parsed.database in (None, "", ":memory:")
    if kind not in _CONNECT or in_memory:
        raise ValueError(f"{masked(parsed)} is not a database that several processes can use: {_FORMS}")
    if kind == "sqlite" and parsed.query:
        raise ValueError(f"{masked(parsed)} takes no options behind a ?: {_FORMS}")
    return parsed


def _kind(url: URL) -> str:
    return url.drivername.replace("postgresql+psycopg", "postgresql")


@contextmanager
def reached(url: URL) -> Iterator[None]:
    """Translates the library's errors into SummariesUnreachable, or SummariesRefused where waiting does not help."""
    try:
        yield
    except DBAPIError as error:
        why = str(error.orig).partition("\n")[0]
        kind = SummariesUnreachable if _is_away(error) else SummariesRefused
        raise kind(f"the summaries' database {masked(url)} does not serve: {why}") from None
    except NoConnectionFree:
        raise SummariesUnreachable(
            f"all connections to the summaries' database {masked(url)} are busy"
        ) from None


def _is_away(error: DBAPIError) -> bool:
    # SQLite raises the same error for a missing table as for a locked file, with another code.
    code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_BUSY)
    return isinstance(error, _AWAY) and code != sqlite3.SQLITE_ERROR


def masked(url: URL) -> str:
    """The address without its password, and without its options, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)
