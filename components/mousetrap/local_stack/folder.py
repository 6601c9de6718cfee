"""Takes a stack's folder for one stack at a time, and says what one that was killed left running there."""

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

#: Seconds that a stack which was killed is given to end.
_PATIENCE_S = 5.0


@contextmanager
def taken(folder: Path) -> Iterator[int]:
    """An open file to hand to all processes of the stack, which hold the folder while one of them lives.

    Raises Misused where another stack runs, or where parts of one still do.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not _locked(lock):
            _refuse_beside_another(folder)
            if time.monotonic() > deadline:
                _refuse_what_is_left(folder, os.pread(lock, 64, 0).decode())
                break
            time.sleep(0.05)  # a stack that has just been killed is still ending
        yield lock
    finally:
        os.close(lock)


def hold(lock: int, group: int) -> None:
    """Notes the group of the stack's processes."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(group).encode(), 0)


@contextmanager
def keeping(folder: Path) -> Iterator[None]:
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


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_beside_another(folder: Path) -> None:
    stack = find_stack(folder.parent)
    if stack is not None and stack.folder == folder:
        raise Misused(
            f"a stack runs in {folder} already, its API at {stack.variables.get('MOUSETRAP_API_URL')}: "
            "use that one, or start in another folder"
        )


def _refuse_what_is_left(folder: Path, group: str) -> None:
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
