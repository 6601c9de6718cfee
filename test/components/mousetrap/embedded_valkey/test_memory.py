"""Tests that the embedded server's limit is half of the memory."""

import os
from pathlib import Path

import pytest

from mousetrap.embedded_valkey.memory import half_of_the_memory

_PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def group(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_without_groups_it_is_half_of_the_machine(tmp_path: Path) -> None:
    assert half_of_the_memory(tmp_path, tmp_path / "no such file") == _PHYSICAL // 2


@pytest.mark.parametrize(
    ("own", "limits", "half"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "4096000\n"}, 2_048_000),
        ("0::/a/b\n", {"a/b/memory.max": "1000\n", "a/memory.max": "4096\n"}, 500),
        ("0::/\n", {"memory.max": "2000\n"}, 1000),
        (
            "3:cpu:/x\n2:memory:/x\n",
            {"memory/x/memory.limit_in_bytes": "3000\n", "cpu/memory.max": "1"},
            1500,
        ),
        ("0::/a\n", {"a/memory.max": "max\n"}, _PHYSICAL // 2),
        ("0::/gone\n", {}, _PHYSICAL // 2),
        ("2:memory:/x\n", {"memory/x/memory.limit_in_bytes": "9223372036854771712\n"}, _PHYSICAL // 2),
    ],
)
def test_the_least_of_all_groups_counts(tmp_path: Path, own: str, limits: dict[str, str], half: int) -> None:
    (tmp_path / "own").write_text(own)
    for name, text in limits.items():
        group(tmp_path / "groups", name, text)

    assert half_of_the_memory(tmp_path / "groups", tmp_path / "own") == half
