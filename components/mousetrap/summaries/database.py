"""Opens the database, and translates its errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from mousetrap.summaries.errors import SummariesRefused, SummariesUnreachable

_FORMS = "give sqlite:///path/to/file.db or postgresql+psycopg://user:password@host/database"

#: Raised by databases that are unreachable, locked, full, shutting down or a read-only replica.
_AWAY = (OperationalError, InterfaceError, InternalError)
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
