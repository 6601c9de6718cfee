"""Runs a group of tests in one process."""

import subprocess
import sys
from pathlib import Path

import pytest

_TESTS = """
import os
import pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("n", range(6))
def test_it(n):
    with open("processes", "a") as file:
        file.write(f"{os.getpid()}\\n")
"""


@pytest.mark.slow
def test_the_tests_of_a_group_run_in_one_process(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(_TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "--dist",
        "loadgroup",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:cloudcoil",  # its plugin imports a library that it does not ask for
        "-p",
        "no:schemathesis",  # takes three processes four seconds each to import
    ]

    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stdout
    ran = (tmp_path / "processes").read_text().split()
    assert len(ran) == 6
    assert len(set(ran)) == 1, "pytest and pytest-xdist do not fit: groups are lost"
