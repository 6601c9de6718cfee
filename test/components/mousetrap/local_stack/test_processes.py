"""One exit code for several processes, and files that changed."""

import os
from pathlib import Path

import pytest

from mousetrap.local_stack.processes import _worst
from mousetrap.local_stack.watch import times_of


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 75], 75),
        ([0, -9], 75),
        ([75, 1], 1),
        ([2, 2], 2),
        ([0, 70, 75], 70),
    ],
)
def test_the_exit_code_is_that_of_the_worst_end(codes: list[int], worst: int) -> None:
    assert _worst(codes) == worst


def test_only_python_files_of_ones_own_are_looked_at(tmp_path: Path) -> None:
    for name in ("a.py", "deep/er/b.py", "c.txt", ".venv/d.py", "site-packages/e.py", "__pycache__/f.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    before = times_of([tmp_path])

    assert {os.path.relpath(path, tmp_path) for path in before} == {"a.py", "deep/er/b.py"}

    os.utime(tmp_path / "a.py", ns=(1, 1))
    (tmp_path / "deep" / "er" / "b.py").unlink()
    changed = times_of([tmp_path])
    assert {os.path.relpath(path, tmp_path) for path, _ in changed.items() ^ before.items()} == {
        "a.py",
        "deep/er/b.py",
    }
    assert times_of([tmp_path / "absent"]) == {}
