"""Checks the words and first lines of every file."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Files that must keep an old word: the list of renamed names, and a JSON key that is public.
EXCEPTIONS = ("docs/upgrading.md", "bases/mousetrap/cli/checks.py")
READ = {".c", ".conf", ".ipynb", ".py", ".lua", ".md", ".toml", ".yaml", ".yml", ".sh", ""}
MAX_WORDS = 12
#: Words with a plainer one: "the error reports", "the filter", "the timeout", "again".
OLD_WORDS = re.compile(
    r"(?<![a-z])(anew|beating|company|for[ _]ever|hears?|heard|meant|mend(?:s|ed|ing)?|nobody|patience|said|says|struck"
    r"|tells?|telling|told|undertak[a-z]*|what[ _]came[ _]of|whoever|wish(?:es|ed)?)(?![a-z])|(?-i:_(?:LOOK|PAUSE|STILL|KEPT)\b)",
    re.IGNORECASE,
)


def is_checked(path: str) -> bool:
    return path != "test/docs/test_words.py" and path not in EXCEPTIONS


def tracked_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = [path for path in listed.splitlines() if Path(path).suffix in READ and (ROOT / path).is_file()]
    return [path for path in found if is_checked(path)]


def first_line(path: str) -> str:
    """What a file is for, in the words of its docstring or its first comment; empty where it has none."""
    lines = [line for line in (ROOT / path).read_text().splitlines()[:3] if not line.startswith("#!")]
    opening = {".py": '"""', ".lua": "-- ", ".sh": "# ", "": "# "}.get(Path(path).suffix)
    if not lines or opening is None or not lines[0].startswith(opening):
        return ""
    return lines[0].removeprefix(opening).removesuffix('"""')


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="asks git which files there are")
def test_every_first_line_is_short() -> None:
    long = {path: line for path in tracked_files() if len((line := first_line(path)).split()) > MAX_WORDS}

    assert long == {}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="asks git which files there are")
def test_no_old_word_is_left() -> None:
    found = [
        f"{path}:{number}: {hit.group()}"
        for path in tracked_files()
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        for hit in OLD_WORDS.finditer(line)
    ]

    assert found == []
