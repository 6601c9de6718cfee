"""Writes what really happened to disk, line by line."""

import os
import time
from pathlib import Path

import msgspec


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened; `what` names it."""

    #: By callers: attempted, accepted, refused, cancelled, too_late (to cancel). By handlers: begun, done, failed, stopped.
    #: By workers: recorded, for an outcome under a lock that the store has taken.
    what: str
    run: str
    kind: str
    #: On the monotonic clock, which all processes of a machine share.
    at: float
    stage: str = ""
    job: str = ""
    attempt: int = 0
    fence: int = 0
    worker: str = ""
    #: When the worker asked for the claim that this attempt runs under.
    asked: float = 0.0
    #: Of a failed attempt that names the time of the next one: in so many seconds.
    after: float | None = None
    #: Which lock the attempt holds, and under which fence.
    key: str = ""
    lock_fence: int = 0


class Ledger:
    """An append-only file that many processes write to; what a line records has happened, and the line is on disk."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def close(self) -> None:
        os.close(self._file)

    def note(
        self,
        what: str,
        *,
        run: str,
        kind: str,
        stage: str = "",
        job: str = "",
        attempt: int = 0,
        fence: int = 0,
        worker: str = "",
        asked: float = 0.0,
        after: float | None = None,
        key: str = "",
        lock_fence: int = 0,
    ) -> None:
        """Returns once the line is on disk."""
        line = Line(
            what=what,
            run=run,
            kind=kind,
            at=time.monotonic(),
            stage=stage,
            job=job,
            attempt=attempt,
            fence=fence,
            worker=worker,
            asked=asked,
            after=after,
            key=key,
            lock_fence=lock_fence,
        )
        os.write(self._file, msgspec.json.encode(line) + b"\n")
        os.fsync(self._file)


class Reader:
    """Reads a ledger while it grows."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open("rb")
        self._rest = b""
        self.lines: list[Line] = []

    def close(self) -> None:
        self._file.close()

    def all(self) -> list[Line]:
        """Every line so far."""
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        self.lines += map(_read, whole)
        return self.lines


def _read(raw: bytes) -> Line:
    # A writer that was killed in the middle leaves half a line, which nothing has followed from; the next begins behind it.
    return msgspec.json.decode(raw[raw.rindex(b'{"what":') :], type=Line)
