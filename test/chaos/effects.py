"""Writes the effects of handlers into a SQL table, and counts tries."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

#: Seconds; a worker that is paused in a transaction keeps the others waiting.
_BUSY_TIMEOUT_S = 60.0


class Effect(NamedTuple):
    """One row."""

    key: str
    run: str
    stage: str
    #: How often a handler tried to write it.
    tries: int


class Effects:
    """The table; every process has a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def made(cls, path: Path) -> "Effects":
        """A new table, made before anybody writes: SQLite does not wait where two turn a file's log on at once."""
        effects = cls(path)
        with closing(effects._connect()) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE effects (key TEXT UNIQUE, run TEXT, stage TEXT, tries INT)")
        return effects

    def write(self, key: str, run: str, stage: str) -> None:
        """Has the effect, unless it was had before."""
        with closing(self._connect()) as database:
            database.execute(
                "INSERT INTO effects VALUES (?, ?, ?, 1) ON CONFLICT (key) DO UPDATE SET tries = tries + 1",
                (key, run, stage),
            )

    def all(self) -> tuple[Effect, ...]:
        with closing(self._connect()) as database:
            return tuple(
                Effect(*row) for row in database.execute("SELECT key, run, stage, tries FROM effects")
            )

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        # We kill processes and never the machine, so the kernel keeps what was written; a sync would only cost time.
        database.execute("PRAGMA synchronous = OFF")
        return database
