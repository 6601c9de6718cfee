"""Locks a stack's folder, and finds leftovers of a killed stack."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mousetrap.api_client import Misused
from mousetrap.embedded_valkey import running_server
from mousetrap.settings import NotPrivate, find_stack

#: How long a stack that was just killed may take to end.
_END_TIMEOUT_S = 5.0
_POLL_S = 0.05


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """An open, locked file for all processes of the stack: the lock lasts while one of them runs.

    Raises Misused where another stack, or a part of one, still runs.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _END_TIMEOUT_S
        while not _try_lock(lock):
            _check_no_stack(folder)
            if time.monotonic() > deadline:
                _check_nothing_left(folder, os.pread(lock, 64, 0).decode())
                break
            time.sleep(_POLL_S)  # a stack that has just been killed is still ending
        yield lock
    finally:
        os.close(lock)


def note_group(lock: int, group: int) -> None:
    """Writes the stack's process group into the file, for the next stack in this folder."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(group).encode(), 0)


@contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Raises Misused where this block cannot write in `folder`."""
    try:
        yield
    except NotPrivate as error:
        raise Misused(str(error)) from error
    except OSError as error:
        advice = (
            "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "start in a folder of yours"
        )
        raise Misused(f"cannot keep data in {folder}: {error.strerror}; {advice}") from error


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_no_stack(folder: Path) -> None:
    stack = find_stack(folder.parent)
    if stack is not None and stack.folder == folder:
        raise Misused(
            f"a stack runs in {folder} already, its API at {stack.variables.get('MOUSETRAP_API_URL')}: "
            "use that one, or start in another folder"
        )


def _check_nothing_left(folder: Path, group: str) -> None:
    left = []
    if group.isdecimal():
        with suppress(ProcessLookupError):
            os.killpg(int(group), 0)
            left.append(f"kill -- -{group}")
    server = running_server(folder / "valkey")
    if server is not None:
        left.append(f"kill {server}")
    if left:
        raise Misused(
            f"a stack that was killed left processes in {folder}: end them with `{'; '.join(left)}`, and start again"
        )
