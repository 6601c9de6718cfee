"""Tests how `.venv` is made, and the commands in it."""

import os
import shutil
import signal
import subprocess
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Stands for Python: prints where the libraries are, or how it was called.
_PYTHON = """#!/bin/sh
case "$*" in
*sysconfig*) mkdir -p packages && echo packages ;;
*mousetrap.cli*) echo "$0 $*" ;;
esac
"""


#: Stands for the machine's Python: makes such a `.venv`, unless it is to wait while it does.
_MAKES_IT = """#!/bin/sh
case "$*" in
*venv*)
    mkdir -p .venv/bin
    if [ -p waits ]; then echo begun > waits; exec sleep 600; fi
    cp stand-in .venv/bin/python
    echo made >> made ;;
esac
"""
#: As a making that was stopped leaves it.
_WITHOUT_PIP = """#!/bin/sh
case "$*" in *pip*) echo "No module named pip" >&2; exit 1 ;; esac
"""


def test_a_venv_that_was_left_without_pip_is_made_again(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path)
    _executable(checkout / ".venv" / "bin" / "python", _WITHOUT_PIP)

    for _ in range(2):
        subprocess.run(
            [checkout / "tools" / "environment", "run"],
            env=_with_python(checkout),
            check=True,
            capture_output=True,
        )

    assert (checkout / "made").read_text() == "made\n"
    assert (checkout / ".venv" / ".run").exists()


def test_a_making_that_is_interrupted_leaves_no_venv_and_writes_one_line(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path)
    os.mkfifo(checkout / "waits")
    making = subprocess.Popen(
        [checkout / "tools" / "environment", "run"],
        env=_with_python(checkout),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    (checkout / "waits").read_text()  # so that it is at work

    os.killpg(making.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
    _, errors = making.communicate(timeout=60)

    assert making.returncode == 130
    assert not (checkout / ".venv").exists()
    assert errors.splitlines()[1:] == ["stopped before .venv was whole: the same command makes it again"]


def test_a_command_of_a_checkout_is_found_through_a_link_from_elsewhere(tmp_path: Path) -> None:
    checkout, link = _checkout(tmp_path), tmp_path / "bin" / "mousetrap"
    python = checkout / ".venv" / "bin" / "python"
    _executable(python, _PYTHON)
    subprocess.run([checkout / "tools" / "environment", "run"], check=True, capture_output=True)
    link.parent.mkdir()
    link.symlink_to(checkout / ".venv" / "bin" / "mousetrap")

    called = subprocess.run([link, "runs", "a b"], check=True, capture_output=True, text=True)

    assert called.stdout.strip() == f"{python.resolve()} -P -m mousetrap.cli runs a b"


def _checkout(folder: Path) -> Path:
    checkout = folder / "checkout"
    for each in ("tools", ".venv/bin", "projects/cli"):
        (checkout / each).mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "environment", checkout / "tools")
    _executable(checkout / "stand-in", _PYTHON)
    _executable(checkout / "python", _MAKES_IT)
    return checkout


def _executable(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


def _with_python(checkout: Path) -> dict[str, str]:
    return {**os.environ, "PYTHON": str(checkout / "python")}


def test_pytest_finds_the_kit_s_plugin_from_any_folder(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path)
    _executable(checkout / ".venv" / "bin" / "python", _PYTHON)
    unwanted = checkout / "packages" / "cloudcoil-1.0.dist-info" / "entry_points.txt"
    unwanted.parent.mkdir(parents=True)
    unwanted.write_text("[pytest11]\n")

    subprocess.run([checkout / "tools" / "environment", "run"], check=True, capture_output=True)

    found = [each for made in distributions(path=[str(checkout / "packages")]) for each in made.entry_points]
    assert [(each.group, each.name, each.value) for each in found] == [
        ("pytest11", "mousetrap.testing.plugin", "mousetrap.testing.plugin")
    ]
