"""Copies this workspace with other bricks instead of the example's."""

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


class OtherWorkspace:
    """A tree of the engine's bricks and of others, and a Python that knows no other tree."""

    def __init__(self, folder: Path, files: Mapping[str, str], places: Mapping[str, list[str]]) -> None:
        """`files` are the other bricks' texts by path; `places` are their names, by the example's brick whose place they take."""
        self.folder = folder
        left_out = {*EXAMPLE, "catalogue", "__pycache__"}
        for kind in ("bases", "components"):
            shutil.copytree(_ROOT / kind, folder / kind, ignore=lambda _, names: left_out.intersection(names))
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        others, _, _ = _PYPROJECT.partition("[tool.importlinter]")
        (folder / "pyproject.toml").write_text(
            others + _contracts({**{name: [] for name in EXAMPLE}, **places})
        )
        self._python = _own_python(folder)

    def run(
        self, *arguments: str, seconds: float = 60, **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Runs `python -m` with these arguments in the folder."""
        return subprocess.run(
            [self._python, "-m", *arguments],
            check=False,
            cwd=self.folder,
            env=clean_environment(**variables),
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def start(self, *arguments: str, **variables: str) -> Process:
        """Starts `python -m` with these arguments in the folder."""
        return Process([self._python, "-m", *arguments], clean_environment(**variables), self.folder)

    def modules(self) -> list[str]:
        """All modules of all bricks."""
        files = [file for kind in ("bases", "components") for file in (self.folder / kind).rglob("*.py")]
        names = [".".join(file.relative_to(self.folder).with_suffix("").parts[1:]) for file in files]
        return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


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


def _own_python(folder: Path) -> str:
    """A Python with our libraries, and with those of our bricks that are in the folder."""
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    libraries = next(place for place in sys.path if place.endswith("site-packages"))
    # In a folder that a .pth file names, Python reads no .pth files: the one there would add this tree's bricks.
    places: list[Any] = [folder / "bases", folder / "components", libraries]
    (packages / "places.pth").write_text("".join(f"{place}\n" for place in places))
    return str(environment / "bin/python")
