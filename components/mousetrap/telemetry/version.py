"""Finds the version of the installed program."""

import sys
from pathlib import Path


def version_of_program() -> str:
    """The version of the distribution whose command starts code of `mousetrap`; a checkout has none.

    Read by hand: `importlib.metadata` took 0.9 MiB of each worker, for the libraries of e-mail and of archives that it loads.
    """
    for folder in sys.path:
        for commands in Path(folder).glob("*.dist-info/entry_points.txt"):
            if _starts_us(commands.read_text(encoding="utf-8", errors="replace")):
                return commands.parent.name.removesuffix(".dist-info").rpartition("-")[2]
    return "unreleased"


def _starts_us(entry_points: str) -> bool:
    """Whether one of the commands starts code of ours."""
    section = ""
    for line in entry_points.splitlines():
        if line.startswith("["):
            section = line.strip()
        elif section == "[console_scripts]" and line.partition("=")[2].strip().startswith("mousetrap."):
            return True
    return False
