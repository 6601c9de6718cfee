"""Locks a new project to what the workspace is locked to: pure."""

import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from mousetrap.api_client import Misused

_PACKAGE = "[[package]]\n"


def library(dependency: str) -> str:
    """The name in a dependency, as locks have it: "psycopg[binary]>=3.3" is of "psycopg"."""
    found = re.match(r"[\w.-]+", dependency)
    return re.sub(r"[-_.]+", "-", found[0] if found else dependency).lower()


def with_all_they_need(lock: str, libraries: Iterable[str]) -> set[str]:
    """These libraries and all that they need, by the workspace's lock. Raises Misused for one that is not locked."""
    needs = {
        library(package["name"]): [library(name) for name in package.get("dependencies", {})]
        for package in tomllib.loads(lock)["package"]
    }
    found: set[str] = set()
    left = [library(name) for name in libraries]
    while left:
        name = left.pop()
        if name not in needs:
            raise Misused(f"poetry.lock lacks {name}: tools/lock makes it fit pyproject.toml")
        if name not in found:
            found.add(name)
            left += needs[name]
    return found


def lock_of_project(lock: str, libraries: set[str], project: dict[str, Any]) -> str:
    """The text of a project's poetry.lock: of the workspace's, what concerns `libraries`; `project` is its [project] table."""
    head, *packages = lock.split(_PACKAGE)
    packages[-1], _, metadata = packages[-1].partition("[metadata]\n")
    kept = [_of_main(each) for each in packages if _name_in(each) in libraries]
    metadata = re.sub('content-hash = ".*"', f'content-hash = "{_content_hash(project)}"', metadata)
    return head + _PACKAGE + _PACKAGE.join(kept).rstrip("\n") + "\n\n[metadata]\n" + metadata


def requirements_of_project(requirements: str, libraries: set[str]) -> str:
    """The text of a project's requirements: of the workspace's, what concerns `libraries`."""
    entries = re.split(r"^(?=[^\s#])", requirements, flags=re.MULTILINE)
    return "".join(entry for entry in entries if entry and library(entry) in libraries)


def chosen(dependencies: Sequence[str], libraries: set[str]) -> list[str]:
    """The workspace's dependencies on these libraries."""
    return [each for each in dependencies if library(each) in libraries]


def _name_in(package: str) -> str:
    found = re.search(r'^name = "(.*)"', package, re.MULTILINE)
    return library(found[1]) if found else ""


def _of_main(package: str) -> str:
    """A package's entry, as a lock has it that knows no groups but main."""
    package = re.sub(r"^groups = .*", 'groups = ["main"]', package, flags=re.MULTILINE)
    found = re.search(r'^markers = \{.*?main = ("(?:[^"\\]|\\.)*").*\}', package, re.MULTILINE)
    if found is None:
        return package
    package = package.replace(f"{found[0]}\n", "")
    return package.replace('groups = ["main"]\n', f'groups = ["main"]\nmarkers = {found[1]}\n')


def _content_hash(project: dict[str, Any]) -> str:
    """What Poetry compares to see whether a lock fits its pyproject.toml."""
    relevant = {key: project.get(key) for key in ("requires-python", "dependencies", "optional-dependencies")}
    content = {
        "project": {key: value for key, value in relevant.items() if value is not None},
        "tool": {"poetry": {}},
    }
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
