"""Tests that the example is removed only when asked."""

from pathlib import Path

import pytest

from support.checkout import Checkout

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of this workspace that tests share: none of them leaves a change."""
    return Checkout(tmp_path_factory.mktemp("checkout"))


def test_a_dry_run_lists_what_would_be_removed(checkout: Checkout) -> None:
    done = checkout.run("mousetrap.cli", "remove", "example", "--dry-run")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "removed  components/mousetrap/fetch_data/fetch.py" in lines
    assert "removed  projects/fetch_worker/pyproject.toml" in lines
    assert "changed  components/mousetrap/catalogue/catalogue.py" in lines
    assert checkout.changed() == ""


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_any_answer_but_yes_changes_nothing(checkout: Checkout, answer: str) -> None:
    done = checkout.run("mousetrap.cli", "remove", "example", given=answer)

    assert done.returncode == 1
    assert checkout.changed() == ""


def test_changes_that_are_not_committed_are_not_lost(checkout: Checkout) -> None:
    mine = checkout.folder / "components/mousetrap/fetch_data/fetch.py"
    before = mine.read_text()
    mine.write_text(before + "# mine\n")
    try:
        done = checkout.run("mousetrap.cli", "remove", "example", "--yes")
    finally:
        mine.write_text(before)

    assert done.returncode == 2
    assert "not committed" in done.stderr and "components/mousetrap/fetch_data/fetch.py" in done.stderr
    assert checkout.changed() == ""


def test_a_file_that_git_ignores_is_not_lost(checkout: Checkout) -> None:
    mine = checkout.folder / "components/mousetrap/fetch_data/results.db"
    mine.write_text("mine\n")
    try:
        done = checkout.run("mousetrap.cli", "remove", "example", "--yes")
        assert mine.exists()
    finally:
        mine.unlink(missing_ok=True)

    assert done.returncode == 2
    assert "does not track" in done.stderr and "components/mousetrap/fetch_data/results.db" in done.stderr
    assert checkout.changed() == ""


def test_without_git_nothing_is_removed(checkout: Checkout) -> None:
    kept = checkout.folder / ".git"
    kept.rename(checkout.folder / "aside")
    try:
        done = checkout.run(
            "mousetrap.cli", "remove", "example", "--yes", GIT_CEILING_DIRECTORIES=str(Path("/"))
        )
    finally:
        (checkout.folder / "aside").rename(kept)

    assert done.returncode == 2
    assert "git does not know" in done.stderr
    assert checkout.changed() == ""


def test_what_was_removed_is_not_removed_again_and_git_has_it(checkout: Checkout) -> None:
    first = checkout.run("mousetrap.cli", "remove", "example", "--yes")
    checkout.commit()
    again = checkout.run("mousetrap.cli", "remove", "example", "--yes")
    checkout.undo()

    assert first.returncode == 0, first.stderr
    assert "README.md: " in first.stdout, "what people are to rewrite is listed"
    assert again.returncode == 2
    assert "removed already" in again.stderr
    assert (checkout.folder / "components/mousetrap/fetch_data/fetch.py").exists()
