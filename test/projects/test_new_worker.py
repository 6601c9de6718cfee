"""Tests docs/new-worker.md: each of its commands and files, in order."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.checkout import Checkout
from support.processes import Process, clean_environment

# One checkout goes through the page, so all its tests run in one process.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.servers,
    pytest.mark.xdist_group("new_worker"),
]

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "docs/new-worker.md").read_text()
_COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
#: The texts of the page by the file that each is to be.
_FILES = dict(re.findall(r"^`(\S+\.py)`, .*?\n\n```python\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A clone after `make .venv/.develop`, in which the commands of the page were called."""
    made = Checkout(tmp_path_factory.mktemp("checkout"))
    made.with_programs()
    for command in _COMMANDS:
        if command == "make check":  # its parts are tests of their own, with the types of what is new
            break
        if command.endswith(" up"):
            _run_it(made, command)
        elif " run " not in command:
            _called(made, command)
        if " new pipeline " in command:
            for path, text in _FILES.items():
                assert (made.folder / path).exists(), "the page replaces what the command wrote"
                (made.folder / path).write_text(text)
    yield made


def _called(checkout: Checkout, command: str) -> str:
    done = subprocess.run(
        ["sh", "-c", command],
        check=False,
        cwd=checkout.folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def _run_it(checkout: Checkout, up: str) -> None:
    """Runs the stack, and the page's run in it."""
    (run,) = [command for command in _COMMANDS if " run " in command]
    (result,) = re.findall(r"prints the result, `([^`]*)`", _PAGE)
    with Process(
        ["sh", "-c", f"exec {up}"], clean_environment(MOUSETRAP_API_PORT="0"), checkout.folder
    ) as stack:
        stack.wait_for_line("The API is at", 60)
        printed = _called(checkout, run + " --json")
        assert stack.terminate(60) == 0, stack.output
    assert json.loads(result) in json.loads(printed).values()


def test_the_page_names_the_three_files_that_are_written_by_hand() -> None:
    assert sorted(_FILES) == [
        "components/mousetrap/words/contracts.py",
        "components/mousetrap/words/tasks.py",
        "test/components/mousetrap/words/test_words.py",
    ]
    assert len([command for command in _COMMANDS if " new " in command]) == 2


def test_what_make_check_checks_is_right(checkout: Checkout) -> None:
    new = [
        "components/mousetrap/words",
        "bases/mousetrap/words_worker",
        "test/components/mousetrap/words",
    ]

    for command in ("ruff check", "ruff format --check", "lint-imports --no-cache", f"mypy {' '.join(new)}"):
        _called(checkout, f".venv/bin/{command}")


def test_the_tests_of_the_lists_and_of_the_lock_pass(checkout: Checkout) -> None:
    tested = checkout.run(
        "pytest",
        "--quiet",
        # Of the pages, the lists: what the examples of the others do is the same with a brick more.
        *("test/architecture", "test/docs/test_docs.py", "test/docs/test_words.py", "test/deploy"),
        *("test/components/mousetrap/catalogue", "test/components/mousetrap/words"),
        "test/components/mousetrap/workspace/test_locks.py",
        *("-p", "no:cacheprovider"),
        seconds=300,
    )

    assert tested.returncode == 0, tested.stdout


def test_the_wheel_of_the_worker_holds_its_bricks_and_starts_alone(checkout: Checkout) -> None:
    tested = checkout.run(
        "pytest",
        "--quiet",
        "test/projects/test_wheels.py",
        "-k",
        "words_worker",
        "-p",
        "no:cacheprovider",
        seconds=300,
    )

    assert tested.returncode == 0, tested.stdout
    assert re.search(r"^3 passed", tested.stdout, re.MULTILINE), tested.stdout


def test_names_of_any_length_are_formatted(checkout: Checkout) -> None:
    checkout.commit()
    for number in (1, 24):
        name = "a" * (number - 1) + "b"
        stages = [f"{'s' * (number - 1)}{letter}" for letter in "xyz"]
        _called(checkout, f".venv/bin/mousetrap new pipeline {name} {' '.join(stages)}")
        _called(checkout, f".venv/bin/mousetrap new worker {name}")
    _called(checkout, ".venv/bin/mousetrap new task pages")
    _called(checkout, ".venv/bin/mousetrap new worker tea")

    checked = checkout.run("ruff", "check", "--no-cache")
    formatted = checkout.run("ruff", "format", "--check", "--no-cache")
    borders = _called(checkout, ".venv/bin/lint-imports --no-cache")

    assert checked.returncode == formatted.returncode == 0, checked.stdout + formatted.stdout
    assert "0 broken" in borders
