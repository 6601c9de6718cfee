"""Finds the stack that `mousetrap up` runs in a folder."""

import fcntl
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mousetrap.settings.environment import Completed
from mousetrap.settings.private import NotPrivate, check_private, write_private

FOLDER = ".mousetrap"
_FILE = "environment"
_PREFIXES = ("MOUSETRAP_", "RABBITMQ_")
#: The addresses of a stack. If one of them is given, it selects another stack; the two must not be mixed, or the key of one
#: would be sent to the other.
_PLACES = ("MOUSETRAP_BROKER_URL", "MOUSETRAP_STORE_URL", "MOUSETRAP_API_URL", "RABBITMQ_HOST")


class LocalStack(NamedTuple):
    """A stack that runs on this machine."""

    folder: Path
    #: The variables that others need to be part of it.
    variables: Mapping[str, str]


@contextmanager
def announced(folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Keeps the file in `folder` by which others find the stack, while the block lasts; a shell can read it too."""
    path = folder / _FILE
    write_private(path, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # it ends with this process, however that ends
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def find_stack(folder: Path) -> LocalStack | None:
    """The stack that runs in `folder` or the nearest folder above; None for one that has ended or is another user's."""
    for place in (folder, *folder.parents):
        variables = _read(place / FOLDER)
        if variables is not None:
            return LocalStack(place / FOLDER, variables)
    return None


def local_environment(
    environ: Mapping[str, str] = os.environ, notify: Callable[[str], object] = lambda _: None
) -> Mapping[str, str]:
    """`environ`, completed from the stack that runs in this folder, unless `environ` has an address of another stack.

    `notify` is called with a line that names the stack, if it is used, or the file of one that has ended.
    """
    given = {name.removesuffix("_FILE") for name in environ}
    stack = None if given.intersection(_PLACES) else find_stack(Path.cwd())
    if stack is None:
        if not given.intersection(_PLACES) and (left := _left_behind(Path.cwd())):
            notify(f"the stack of {left} has ended: start it again with `mousetrap up`, or remove that file")
        return environ
    notify(f"using the stack in {stack.folder}")
    missing = {
        name: value for name, value in stack.variables.items() if name.removesuffix("_FILE") not in given
    }
    return Completed(environ, missing)


def _left_behind(folder: Path) -> Path | None:
    """The nearest file of a stack that ended without removing it, as one that was killed."""
    files = (place / FOLDER / _FILE for place in (folder, *folder.parents))
    return next(filter(_is_left, files), None)


def _is_left(path: Path) -> bool:
    try:
        check_private(path.parent)
        check_private(path)
        with path.open("rb") as file:
            return not _is_locked(file.fileno())
    except (OSError, NotPrivate):
        return False


def _read(folder: Path) -> Mapping[str, str] | None:
    path = folder / _FILE
    try:
        check_private(folder)
        check_private(path)
        with path.open("rb") as file:
            if not _is_locked(file.fileno()):
                return None
            words = shlex.split(file.read().decode("utf-8", "surrogateescape"))
    except (OSError, ValueError, NotPrivate):
        return None
    pairs = (word.split("=", 1) for word in words if "=" in word)
    return {name: value for name, value in pairs if name.startswith(_PREFIXES)}


def _is_locked(file: int) -> bool:
    """Whether the process that wrote it still lives."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
