"""Finds the modules that a target names, without importing more."""

import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: Modules that are loaded only by their own name: programs, and tests, which need their runner.
_SKIPPED = ("__main__", "conftest", "tests")


class TargetWrong(ValueError):
    """The target names nothing that can be imported; the text has the fix."""


class Target(NamedTuple):
    """A target, read."""

    #: The name to import.
    module: str
    #: The object in it; None for all.
    attribute: str | None
    #: The file or folder that was named; None for a module's name.
    path: Path | None


def read_target(text: str, folder: Path) -> Target:
    """The target that `text` names: a file, a folder, a module or a package, and after a colon an object in it.

    Puts `folder`, and the folder of a file outside of packages, at the start of the path of imports, as `python FILE` does.
    Raises TargetWrong for a file or folder that is not there, and for a name that is none.
    """
    name, colon, attribute = text.partition(":")
    if colon and not attribute.isidentifier():
        raise TargetWrong("write module:object, with the object's name after the colon")
    _search_in(folder)
    if name.endswith(".py") or "/" in name or name in (".", ".."):
        path = (folder / name).resolve()
        return Target(_module_of(path), attribute or None, path)
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise TargetWrong("write a module's name, as my_package.tasks, or a path that ends in .py")
    return Target(name, attribute or None, None)


def modules_in(package: str, paths: list[str]) -> Iterator[str]:
    """The names of all modules of `package` below its folders `paths`, without those of programs and tests."""
    prefix = f"{package}." if package else ""
    for found in sorted(pkgutil.iter_modules(paths), key=lambda it: it.name):
        if found.name in _SKIPPED or found.name.startswith("test_"):
            continue
        yield prefix + found.name
        if found.ispkg:
            yield from modules_in(prefix + found.name, [str(Path(path, found.name)) for path in paths])


def _module_of(path: Path) -> str:
    """The name by which the file or folder is imported; empty for a folder that is no package."""
    if not path.exists():
        raise TargetWrong(f"there is no {path}: check the path, from the folder that you are in")
    if path.is_dir():
        if not (path / "__init__.py").exists():
            _search_in(path)
            return ""
    elif path.suffix != ".py":
        raise TargetWrong("it is no Python file: name one that ends in .py, or a folder")
    parts = [path.name if path.is_dir() else path.stem]
    if parts == ["__init__"]:
        parts = []
    parent = path.parent
    while (parent / "__init__.py").exists() and parent.name.isidentifier():
        parts.insert(0, parent.name)
        parent = parent.parent
    if wrong := [part for part in parts if "." in part]:
        raise TargetWrong(f"{wrong[0]!r} cannot be imported: rename it to a name without dots")
    _search_in(parent)
    return ".".join(parts)


def _search_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
