"""Takes a stack's folder for one stack at a time, and says what one that was killed left running there."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mousetrap.cli.failures import Misused
from mousetrap.embedded_valkey import running_server
from mousetrap.settings import find_stack


@contextmanager
def taken(folder: Path) -> Iterator[int]:
    """An open file to hand to all processes of the stack, which hold the folder while one of them lives.

    Raises Misused where another stack runs, or where parts of one still do.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _refuse(folder, os.pread(lock, 64, 0).decode())
        yield lock
    finally:
        os.close(lock)


def hold(lock: int, group: int) -> None:
    """Notes the group of the stack's processes."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(group).encode(), 0)


def _refuse(folder: Path, group: str) -> None:
    stack = find_stack(folder.parent)
    if stack is not None and stack.folder == folder:
        raise Misused(
            f"a stack runs in {folder} already, its API at {stack.variables.get('MOUSETRAP_API_URL')}: "
            "use that one, or start in another folder"
        )
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
