"""Tests that edits are made together, or not at all."""

import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from types import FrameType

import pytest

from mousetrap.api_client import Misused
from mousetrap.workspace import Change, Edits, recover

#: The names of what Python calls to change a disk.
_WRITING = {"open", "write", "mkdir", "rename", "replace", "unlink", "rmdir", "chmod", "sendfile", "utime"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files."""
    (tmp_path / "kept.txt").write_text("kept\n")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "left.txt").write_text("left\n")
    (tmp_path / "old" / "left.txt").chmod(0o755)
    return tmp_path


def content(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def some_edits(folder: Path) -> Edits:
    edits = Edits(folder)
    edits.create("added/one.txt", "one\n")
    edits.replace("kept.txt", "changed\n")
    edits.remove("old/left.txt")
    return edits


def test_nothing_is_written_before_the_edits_are_applied(folder: Path) -> None:
    before = content(folder)

    edits = some_edits(folder)

    assert content(folder) == before
    assert edits.read("kept.txt") == "changed\n"
    assert edits.exists("added/one.txt") and not edits.exists("old/left.txt")
    assert edits.paths("**/*.txt") == ["added/one.txt", "kept.txt"]
    assert edits.changes == [
        Change("new", "added/one.txt"),
        Change("changed", "kept.txt"),
        Change("removed", "old/left.txt"),
    ]


def test_applied_edits_leave_only_their_result(folder: Path) -> None:
    some_edits(folder).apply()

    assert content(folder) == {"added/one.txt": "one\n", "kept.txt": "changed\n"}
    assert not (folder / "old").exists(), "a folder without files is removed too"


def test_a_program_stays_a_program(folder: Path) -> None:
    edits = Edits(folder)
    edits.replace("old/left.txt", "new\n")
    edits.apply()

    assert os.access(folder / "old" / "left.txt", os.X_OK)


def test_a_text_that_is_the_same_is_no_change(folder: Path) -> None:
    edits = Edits(folder)
    edits.replace("kept.txt", "kept\n")

    assert edits.changes == []


def test_a_file_that_is_there_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(Misused, match=r"kept\.txt is there already"):
        Edits(folder).create("kept.txt", "")


def test_a_file_that_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(Misused, match=r"no\.txt cannot be read"):
        Edits(folder).read("no.txt")


def test_when_a_move_fails_all_is_as_it_was(folder: Path) -> None:
    (folder / "zoo").write_text("a file where a folder is needed\n")
    before = content(folder)
    edits = some_edits(folder)
    edits.create("zoo/one.txt", "")

    with pytest.raises(Misused, match="nothing is changed"):
        edits.apply()

    assert content(folder) == before
    assert not (folder / "added").exists()


def killed_before(step: int, action: Callable[[], object]) -> bool:
    """Runs this in a process that ends, as by SIGKILL, before its call of this number that writes to the disk.

    Returns whether there was such a call. What a file's buffer holds then is lost.
    """
    child = os.fork()
    if child == 0:
        steps = count()

        def profile(_frame: FrameType, event: str, called: object) -> None:
            if event != "c_call" or isinstance(getattr(called, "__self__", None), str):
                return
            if getattr(called, "__name__", "") in _WRITING and next(steps) == step:
                os._exit(9)

        try:
            sys.setprofile(profile)
            action()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


def test_a_try_that_was_killed_half_way_is_put_back_by_the_next(folder: Path, tmp_path: Path) -> None:
    """Killed at any step, all is as it was or all is done, and once it is done it stays so."""
    before, after = content(folder), {"added/one.txt": "one\n", "kept.txt": "changed\n"}
    results = []
    for step in count():
        copy = tmp_path.with_name(f"{tmp_path.name}-{step}")
        shutil.copytree(folder, copy)
        killed = killed_before(step, some_edits(copy).apply)
        recover(copy)
        results.append(content(copy))
        assert results[-1] in (before, after), f"killed before step {step}"
        assert not recover(copy)
        assert results[-1] == after or not (copy / "added").exists()
        assert results[-1] == after or os.access(copy / "old" / "left.txt", os.X_OK)
        if not killed:
            break

    done = results.index(after)
    assert done > 10
    assert results == [before] * done + [after] * (len(results) - done)


def test_putting_back_that_was_killed_is_ended_by_the_next(folder: Path, tmp_path: Path) -> None:
    before = content(folder)
    half = tmp_path.with_name(f"{tmp_path.name}-half")
    shutil.copytree(folder, half)
    edits = some_edits(half)
    edits._write_all()
    for change in edits.changes:
        edits._move(change.path)
    assert content(half) != before

    for step in count():
        copy = tmp_path.with_name(f"{tmp_path.name}-{step}")
        shutil.copytree(half, copy)
        killed = killed_before(step, partial(recover, copy))
        recover(copy)
        assert content(copy) == before, f"killed before step {step}"
        assert not (copy / "added").exists()
        if not killed:
            break
    assert step > 5


@pytest.mark.parametrize("text", ["", "[", "{}x", '[["new"]]', "7"])
def test_a_journal_that_cannot_be_read_is_named_with_what_to_do(folder: Path, text: str) -> None:
    former = folder / ".mousetrap-edits" / "former" / "kept.txt"
    former.parent.mkdir(parents=True)
    former.write_text("former\n")
    (folder / ".mousetrap-edits" / "journal.json").write_text(text)

    with pytest.raises(Misused, match=r"journal\.json cannot be read.*former.*remove"):
        recover(folder)

    assert former.read_text() == "former\n", "nothing is lost"


def test_a_folder_in_the_place_of_a_file_is_not_moved(folder: Path) -> None:
    before = content(folder)
    edits = some_edits(folder)
    edits.create("old", "a file\n")

    with pytest.raises(Misused, match="nothing is changed"):
        edits.apply()

    assert content(folder) == before


def test_two_commands_at_once_do_not_mix(folder: Path) -> None:
    before = content(folder)
    other = os.open(folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        with pytest.raises(Misused, match="another command changes"):
            some_edits(folder).apply()
        with pytest.raises(Misused, match="another command changes"):
            recover(folder)
    finally:
        os.close(other)

    assert content(folder) == before
