"""Finds out why the code of a program cannot be loaded."""

import subprocess
import sys
from collections.abc import Mapping

_LOAD_TIMEOUT_S = 30.0
_FAILED = 3
_PROBE = f"""
import importlib.util, os, sys, traceback
try:
    module = importlib.import_module(sys.argv[1])
    if hasattr(module, "__path__") and importlib.util.find_spec(sys.argv[1] + ".main"):
        importlib.import_module(sys.argv[1] + ".main")
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
    """What goes wrong when `python -m module` loads its code, with file and line; None for nothing."""
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _PROBE, module],
            env={**environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LOAD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return tried.stdout.strip().splitlines()[-1] if tried.returncode == _FAILED else None
