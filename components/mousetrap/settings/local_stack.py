"""Says where the stack is that `mousetrap up` runs in a folder, so that commands, workers and notebooks there find it."""

import fcntl
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mousetrap.settings.private import NotPrivate, check_private, write_private

FOLDER = ".mousetrap"
_FILE = "environment"
_PREFIXES = ("MOUSETRAP_", "RABBITMQ_")
#: Settings that say where something is. With one of them given another stack is meant, and the two are not to be mixed: one's
#: key would go to the other.
_PLACES = ("MOUSETRAP_BROKER_URL", "MOUSETRAP_STORE_URL", "MOUSETRAP_API_URL", "RABBITMQ_HOST")


class LocalStack(NamedTuple):
    """A stack that runs on this machine."""

    folder: Path
    #: What its processes read, as far as others need it.
    variables: Mapping[str, str]


@contextmanager
def announced(folder: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Keeps the file in `folder` that others find the stack by, while the block lasts; a shell can read it too."""
    path = folder / _FILE
    write_private(path, "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # it ends with this process, however that ends
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def find_stack(folder: Path) -> LocalStack | None:
    """The stack that runs in `folder` or the nearest folder above; none that has ended, or that is another user's."""
    for place in (folder, *folder.parents):
        variables = _read(place / FOLDER)
        if variables is not None:
            return LocalStack(place / FOLDER, variables)
    return None


def local_environment(
    environ: Mapping[str, str] = os.environ, say: Callable[[str], object] = lambda _: None
) -> Mapping[str, str]:
    """`environ`, with what it lacks from the stack that runs in this folder, unless it says itself where a stack is.

    `say` gets a line that names the stack, if it is used.
    """
    given = {name.removesuffix("_FILE") for name in environ}
    stack = None if given.intersection(_PLACES) else find_stack(Path.cwd())
    if stack is None:
        return environ
    say(f"using the stack in {stack.folder}")
    missing = {
        name: value for name, value in stack.variables.items() if name.removesuffix("_FILE") not in given
    }
    return {**environ, **missing}


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
