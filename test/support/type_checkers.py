"""Runs mypy and pyright on programs outside the workspace."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_BRICKS = [str(_ROOT / kind) for kind in ("bases", "components")]

#: The rules that are broken, by program and line.
Rules = Mapping[str, Mapping[int, set[str]]]


def expected(folder: Path, checker: str) -> Rules:
    """As the comments of the programs in the folder have them."""
    return {program.name: _commented(program, checker) for program in folder.glob("*.py")}


def _commented(program: Path, checker: str) -> Mapping[int, set[str]]:
    found = {}
    for number, line in enumerate(program.read_text().splitlines(), 1):
        if rejected := re.search(rf"# rejected.* by {checker}: ([\w, -]+)", line):
            found[number] = set(rejected[1].split(", "))
    return found


def found_by_mypy(folder: Path) -> Rules:
    """As mypy has them, in its strict mode."""
    options = ["--strict", "--explicit-package-bases", "--disable-error-code=empty-body", "--output=json"]
    programs = [program.name for program in folder.glob("*.py")]
    caches = ["--cache-dir", str(folder / "cache")]
    done = _run(["mypy", *options, *caches, *programs], folder, {"MYPYPATH": ":".join(_BRICKS)})

    found: dict[str, dict[int, set[str]]] = {}
    for line in done.splitlines():
        error = json.loads(line)
        if error["severity"] == "error":
            found.setdefault(error["file"], {}).setdefault(error["line"], set()).add(error["code"])
    return found


def found_by_pyright(folder: Path) -> Rules:
    """As pyright has them, in its standard mode."""
    programs = [program.name for program in folder.glob("*.py")]
    settings = {"include": programs, "extraPaths": _BRICKS, "typeCheckingMode": "standard"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    done = _run(
        ["basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)], folder, {}
    )

    found: dict[str, dict[int, set[str]]] = {}
    for error in json.loads(done)["generalDiagnostics"]:
        if error["severity"] == "error":
            lines = found.setdefault(Path(error["file"]).name, {})
            lines.setdefault(error["range"]["start"]["line"] + 1, set()).add(error["rule"])
    return found


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr  # 2 and more: the checker itself failed
    return done.stdout
