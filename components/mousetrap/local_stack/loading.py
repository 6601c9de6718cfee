"""Finds out whether a program of the stack ended because its code cannot be loaded, and where the fault is."""

import subprocess
import sys
from collections.abc import Mapping

#: Seconds for a program to load.
_PATIENCE_S = 30.0
_FAILED = 3
_PROBE = f"""
import importlib, os, sys, traceback
try:
    importlib.import_module(sys.argv[1])
except BaseException as error:
    frames = [it for it in traceback.extract_tb(error.__traceback__) if not it.filename.startswith("<")]
    file, line = frames[-1].filename, frames[-1].lineno
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno
    what = error.msg if isinstance(error, SyntaxError) else error
    print(f"{{type(error).__name__}}: {{what}}, at line {{line}} of {{file}}")
    sys.stdout.flush()
    os._exit({_FAILED})
"""


def loading_fault(module: str, environment: Mapping[str, str]) -> str | None:
    """What goes wrong when `python -m module` loads its code, with file and line; None when nothing does."""
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _PROBE, f"{module}.main"],
            env={**environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return tried.stdout.strip().splitlines()[-1] if tried.returncode == _FAILED else None
