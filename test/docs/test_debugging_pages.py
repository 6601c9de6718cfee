"""Runs the blocks of the pages on debugging and on contracts."""

import re
import shlex
from pathlib import Path

import pytest

from mousetrap.cli import main

_DOCS = Path(__file__).parents[2] / "docs"
_PAGES = ("debugging.md", "contracts.md")
_WORDS = """
from mousetrap.handlers import task

@task
def count(text: str) -> int:
    return len(text.split())
"""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (_DOCS / page).read_text(), re.DOTALL)


def test_the_python_of_the_pages_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [block for page in _PAGES for block in blocks(page, "python")]

    assert found
    for block in found:
        exec(compile(block, "docs/debugging.md", "exec"), {"__name__": "page"})  # noqa: S102  it is ours


def test_the_commands_about_contracts_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "words.py").write_text(_WORDS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    lines = [line for block in blocks("contracts.md", "console") for line in block.splitlines()]

    assert len(lines) == 4
    assert [main(shlex.split(line)[1:]) for line in lines] == [0] * 4, capsys.readouterr()


@pytest.mark.parametrize("page", _PAGES)
def test_every_option_of_the_commands_exists(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]

    for line in lines:
        words = shlex.split(line)[1:]
        depth = 1 if words[0] == "debug" else 2
        main([*words[:depth], "--help"])
        known = capsys.readouterr().out
        assert [word for word in words if word.startswith("--") and word not in known] == []
