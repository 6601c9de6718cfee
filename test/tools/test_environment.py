"""Tests the commands that the making of `.venv` leaves in it."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Stands for Python: prints where the libraries are, or how it was called.
_PYTHON = """#!/bin/sh
case "$*" in
*sysconfig*) mkdir -p packages && echo packages ;;
*mousetrap.cli*) echo "$0 $*" ;;
esac
"""


def test_a_command_of_a_checkout_is_found_through_a_link_from_elsewhere(tmp_path: Path) -> None:
    checkout, link = tmp_path / "checkout", tmp_path / "bin" / "mousetrap"
    for folder in ("tools", ".venv/bin", "projects/cli"):
        (checkout / folder).mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "environment", checkout / "tools")
    python = checkout / ".venv" / "bin" / "python"
    python.write_text(_PYTHON)
    python.chmod(0o755)
    subprocess.run([checkout / "tools" / "environment", "run"], check=True, capture_output=True)
    link.parent.mkdir()
    link.symlink_to(checkout / ".venv" / "bin" / "mousetrap")

    called = subprocess.run([link, "runs", "a b"], check=True, capture_output=True, text=True)

    assert called.stdout.strip() == f"{python.resolve()} -P -m mousetrap.cli runs a b"
