"""Tests what `mousetrap new` prints, and that bad usage writes nothing."""

import subprocess
from pathlib import Path

import pytest

from support.checkout import Checkout

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of this workspace that tests share: none of them leaves a change."""
    return Checkout(tmp_path_factory.mktemp("checkout"))


def test_a_dry_run_lists_what_would_be_written_and_writes_nothing(checkout: Checkout) -> None:
    done = checkout.run("mousetrap.cli", "new", "worker", "words", "--dry-run")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "new      components/mousetrap/words/tasks.py" in lines
    assert "new      deploy/kubernetes/words_worker.yaml" in lines
    assert "changed  deploy/compose.yml" in lines
    assert "  components/mousetrap/words/tasks.py:10  what the task does" in lines
    assert checkout.changed() == ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("task", "Words"), "'Words' cannot be a name"),
        (("task", "jobs"), "there is a brick 'jobs' already"),
        (("worker", "jobs"), "there is a brick 'jobs' already"),
        (("pipeline", "corpus", "find"), "at least two"),
        (("pipeline", "corpus", "find", "find"), "given twice"),
    ],
)
def test_a_bad_name_is_one_line_and_writes_nothing(
    checkout: Checkout, arguments: tuple[str, ...], reason: str
) -> None:
    done = checkout.run("mousetrap.cli", "new", *arguments)

    assert done.returncode == 2
    assert done.stderr.startswith("mousetrap: ") and done.stderr.count("\n") == 1
    assert reason in done.stderr
    assert checkout.changed() == ""


def test_outside_of_a_checkout_the_command_gives_the_reason(checkout: Checkout, tmp_path: Path) -> None:
    done: subprocess.CompletedProcess[str] = checkout.run(
        "mousetrap.cli", "new", "task", "words", folder=tmp_path
    )

    assert done.returncode == 2
    assert "is in no workspace: this command writes files of a checkout" in done.stderr
    assert list(tmp_path.iterdir()) == []
