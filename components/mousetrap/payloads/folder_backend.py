"""Keeps payloads in a folder, which several machines may share."""

import asyncio
import errno
import fcntl
import os
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from mousetrap.jobs import Reference, StoreFull, StoreUnreachable
from mousetrap.payloads.backend import HOME, PAYLOAD_NAME, RUN_ID, Data, RunsPage

#: Runs that are looked at together.
_PAGE = 500
#: Held, shared, while a payload gets its name, and alone while a run's payloads are removed.
_LOCK = ".lock"
#: The start of the name of a file that is still being written.
_HALF = ".half-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class FolderBackend:
    """As in the protocol Backend: a folder for each run, which its owner alone may read, and a file for each payload.

    All are in `mousetrap-payloads` below the folder. The folder itself must be there. It is not made: a share that is not mounted would be taken for an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home = folder / HOME

    @property
    def place(self) -> str:
        return f"the folder {self._folder}"

    async def write(self, reference: Reference, data: Data) -> None:
        await asyncio.to_thread(self._write, reference, data)

    async def read(self, reference: Reference) -> bytes | None:
        return await asyncio.to_thread(self._read, reference)

    async def runs(self, put_before: float, after: str) -> RunsPage:
        return await asyncio.to_thread(self._runs, put_before, after)

    async def delete_run(self, run_id: str, put_before: float) -> None:
        await asyncio.to_thread(self._delete_run, run_id, put_before)

    async def close(self) -> None:
        """Nothing: a file is open only while it is read or written."""

    # Each in a thread

    def _write(self, reference: Reference, data: Data) -> None:
        with self._reaching():
            if not self._home.is_dir():
                self._home.mkdir(mode=0o700, exist_ok=True)
                _sync(self._folder)
            half = self._home / f"{_HALF}{uuid4().hex}"
            try:
                with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                self._name(half, reference)
            finally:
                half.unlink(missing_ok=True)

    def _name(self, half: Path, reference: Reference) -> None:
        """Gives a written file its name; through a crash of the machine, too."""
        run = self._home / reference.run_id
        with self._locked(fcntl.LOCK_SH):
            is_new = not run.is_dir()
            run.mkdir(mode=0o700, exist_ok=True)
            half.rename(run / reference.name)
        _sync(run)
        if is_new:
            _sync(self._home)

    def _read(self, reference: Reference) -> bytes | None:
        with self._reaching():
            try:
                return (self._home / reference.key).read_bytes()
            except FileNotFoundError:
                self._check()
                return None

    def _runs(self, put_before: float, after: str) -> RunsPage:
        with self._reaching():
            self._check()
            names = sorted(place.name for place in self._home.iterdir()) if self._home.is_dir() else []
            page = names[bisect_right(names, after) :][:_PAGE]
            old = [self._home / name for name in page if _last_put(self._home / name) < put_before]
            for place in old:
                if place.name.startswith(_HALF):  # its writer died
                    place.unlink(missing_ok=True)
            more = bool(page) and page[-1] != names[-1]
            return RunsPage([place.name for place in old if _is_run(place)], page[-1] if more else "")

    def _delete_run(self, run_id: str, put_before: float) -> None:
        with self._reaching(), self._locked(fcntl.LOCK_EX):
            run = self._home / run_id
            if _last_put(run) < put_before and _is_run(run):
                for payload in list(run.iterdir()):
                    payload.unlink()
                run.rmdir()

    def _check(self) -> None:
        """Raises FileNotFoundError where the folder itself is missing."""
        self._folder.stat()

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        descriptor = os.open(self._home / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, kind)
            yield
        finally:
            os.close(descriptor)  # which frees the lock

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise StoreFull(f"{self.place} has no room for payloads: give it more disk") from error
            what = f"cannot use {self.place} for payloads (MOUSETRAP_PAYLOAD_URL): {error.strerror}"
            raise StoreUnreachable(
                f"{what}. It must be there, and this user must be able to write to it"
            ) from error


def _last_put(place: Path) -> float:
    """When something was put there last: a name that is given changes the time of its folder; 0 if it is gone."""
    with suppress(FileNotFoundError):
        return place.stat().st_mtime
    return 0.0


def _is_run(place: Path) -> bool:
    """Whether it is a run's folder, with our files and nothing else in it."""
    return (
        RUN_ID.fullmatch(place.name) is not None
        and not place.is_symlink()
        and place.is_dir()
        and all(PAYLOAD_NAME.fullmatch(each.name) and each.is_file() for each in place.iterdir())
    )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
