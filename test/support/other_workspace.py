"""Copies this workspace with other bricks instead of the example's."""

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.processes import Process, clean_environment

_ROOT = Path(__file__).parents[2]
_PYPROJECT = (_ROOT / "pyproject.toml").read_text()
_CONTRACTS = tomllib.loads(_PYPROJECT)["tool"]["importlinter"]["contracts"]
#: The bricks of the example, as the contract lists them that keeps them apart.
EXAMPLE = {
    module.removeprefix("mousetrap.")
    for contract in _CONTRACTS
    if contract["name"].startswith("The engine does not know the example")
    for module in contract["protected_modules"]
}


class Tree:
    """Bricks in a folder, and a Python that knows no others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._python = own_python(folder)

    def run(
        self,
        *arguments: str,
        seconds: float = 60,
        folder: Path | None = None,
        given: str = "",
        **variables: str,
    ) -> "subprocess.CompletedProcess[str]":
        """Runs `python -m` with these arguments in its folder, or another."""
        return subprocess.run(
            [self._python, "-m", *arguments],
            check=False,
            cwd=folder or self.folder,
            env=clean_environment(**variables),
            input=given,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def start(self, *arguments: str, **variables: str) -> Process:
        """Starts `python -m` with these arguments in the folder."""
        return Process([self._python, "-m", *arguments], clean_environment(**variables), self.folder)

    def reuse_types(self) -> None:
        """Copies mypy's cache, if it ran here: of the rest, which differs by its hash, it checks what depends on it.

        All from nothing takes 13 s of processor time.
        """
        if (_ROOT / ".mypy_cache").exists():
            shutil.copytree(_ROOT / ".mypy_cache", self.folder / ".mypy_cache")

    def modules(self) -> list[str]:
        """All modules of all bricks."""
        files = [file for kind in ("bases", "components") for file in (self.folder / kind).rglob("*.py")]
        names = [".".join(file.relative_to(self.folder).with_suffix("").parts[1:]) for file in files]
        return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


class OtherWorkspace(Tree):
    """A tree of the engine's bricks and of others, and a Python that knows no other tree."""

    def __init__(self, folder: Path, files: Mapping[str, str], places: Mapping[str, list[str]]) -> None:
        """`files` are the other bricks' texts by path; `places` are their names, by the example's brick whose place they take."""
        left_out = {*EXAMPLE, "catalogue"}
        for kind in ("bases", "components"):
            shutil.copytree(_ROOT / kind, folder / kind, ignore=lambda _, names: left_out.intersection(names))
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        others, _, _ = _PYPROJECT.partition("[tool.importlinter]")
        (folder / "pyproject.toml").write_text(
            others + _contracts({**{name: [] for name in EXAMPLE}, **places})
        )
        super().__init__(folder)


def _contracts(places: Mapping[str, list[str]]) -> str:
    """The configuration of import-linter, with the bricks replaced."""

    def changed(entry: str) -> list[str]:
        if entry.startswith("mousetrap."):
            name = entry.removeprefix("mousetrap.")
            return [f"mousetrap.{new}" for new in places.get(name, [name])]
        layer = [new for name in entry.split(" | ") for new in places.get(name, [name])]
        return [" | ".join(layer)] if layer else []

    lines = ["[tool.importlinter]", 'root_package = "mousetrap"', "include_external_packages = true"]
    for contract in _CONTRACTS:
        kept = {
            key: [new for entry in value for new in changed(entry)]
            for key, value in contract.items()
            if isinstance(value, list)
        }
        if [] in kept.values():  # it is about the example alone
            continue
        lines.append("[[tool.importlinter.contracts]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in {**contract, **kept}.items()]
    return "\n".join(lines)


def own_python(folder: Path) -> str:
    """A Python with our libraries, and with those of our bricks that are in the folder."""
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    libraries = Path(pytest.__file__).parents[1]
    # In a folder that a .pth file names, Python reads no .pth files: the one there would add this tree's bricks.
    places: list[Any] = [folder / "bases", folder / "components", libraries]
    (packages / "places.pth").write_text("".join(f"{place}\n" for place in places))
    return str(environment / "bin/python")


def copy_bytecode(folder: Path) -> None:
    """Copies what was compiled of our bricks and tests: it fits a copied file of the same time and size.

    To compile them again takes each tree's first process a second, and its first pytest eight more.
    """
    for kind in ("bases", "components", "test"):
        for compiled in (_ROOT / kind).rglob("__pycache__/*.pyc"):
            copy = folder / compiled.relative_to(_ROOT)
            if copy.parents[1].exists():
                copy.parent.mkdir(exist_ok=True)
                shutil.copy2(compiled, copy)
