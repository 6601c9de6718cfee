"""Lets one relay of all serve a SQLite database."""

import fcntl
import os
from contextlib import suppress

from sqlalchemy import Engine

from mousetrap.outbox.errors import OutboxRefused


class OnlyRelay:
    """A lock beside the database's file, which the system frees when its process ends, however it ends.

    SQLite has no locks on rows, and a transaction that stays open while runs are submitted would stop the caller's own
    writers. PostgreSQL needs no such lock: there it is never asked for.
    """

    def __init__(self, engine: Engine, table: str) -> None:
        database = engine.url.database if engine.dialect.name == "sqlite" else None
        self._path = f"{database}.{table}.relay" if database else ""
        self._descriptor: int | None = None

    def try_to_be(self) -> bool:
        """Whether this process may take rows. Raises OutboxRefused where the lock's file cannot be made."""
        if not self._path or self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OutboxRefused(
                f"the file {self._path} cannot be made: {error.strerror}: a relay keeps its lock in the database's folder"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def close(self) -> None:
        """Gives the lock up. The file stays: to remove it would let two processes lock two files of one name."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None
