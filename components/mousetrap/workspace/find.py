"""Finds the workspace around a folder."""

import tomllib
from pathlib import Path

from mousetrap.api_client import Misused

#: The file with the list of workers.
CATALOGUE = "components/mousetrap/catalogue/catalogue.py"


def find_workspace(start: Path) -> Path:
    """The folder of the workspace that `start` is in. Raises Misused outside of one, as beside an installed wheel."""
    for folder in (start, *start.parents):
        if _is_workspace(folder):
            return folder
    raise Misused(
        f"{start} is in no workspace: this command writes files of a checkout, beside its workspace.toml; "
        "clone the project and call it there"
    )


def _is_workspace(folder: Path) -> bool:
    try:
        settings = tomllib.loads((folder / "workspace.toml").read_text())
    except (OSError, ValueError):
        return False
    return "polylith" in settings.get("tool", {}) and (folder / CATALOGUE).is_file()
