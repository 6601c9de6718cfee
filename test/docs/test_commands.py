"""Checks the commands of pages, and that their code is run."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import typer.main

from mousetrap.cli.app import app

_ROOT = Path(__file__).parents[2]
_PAGES = [
    page
    for pattern in ("README.md", "docs/*.md", "deploy/**/*.md", "*/mousetrap/*/README.md")
    for page in sorted(_ROOT.glob(pattern))
]
_PROGRAM = typer.main.get_command(app)
_TARGETS = re.findall(r"^([\w-]+):.*##", (_ROOT / "Makefile").read_text(), re.MULTILINE)
#: What our connections are called, and no commands.
_CONNECTIONS = ("mousetrap consume link", "mousetrap membership", "mousetrap topics")
#: Programs of other projects, whose options are not checked.
_OTHERS = (
    *("cd", "curl", "docker", "export", "kubectl", "pip", "printf", "python3"),
    *("rabbitmqctl", "secret", "uvicorn", "."),
)


class Shown(NamedTuple):
    """A command on a page."""

    page: Path
    text: str
    #: Whether a block has it, so that it runs as it stands; in a sentence, arguments may be left out.
    is_whole: bool

    def __str__(self) -> str:
        return f"{self.page.relative_to(_ROOT)}: {self.text}"


def _blocks(page: Path) -> list[str]:
    return re.findall(r"^```(?:sh|bash|console)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def _shown() -> Iterator[Shown]:
    for page in _PAGES:
        for block in _blocks(page):
            for line in block.splitlines():
                yield Shown(page, line, is_whole=True)
        for indented, quoted in re.findall(
            r"^    (mousetrap .*)$|(?<!`)`(mousetrap [^`\n]+)`(?!`)", page.read_text(), re.MULTILINE
        ):
            if quoted not in _CONNECTIONS:
                yield Shown(page, indented or quoted, is_whole=bool(indented))


def _wrong(shown: Shown) -> str:
    """What is wrong with a command; empty where it can be run."""
    words = shlex.split(shown.text.replace("…", "x"), comments=True)
    while words and re.fullmatch(r"\(?umask|\d+;|\w+=\S*", words[0]):
        words.pop(0)
    if not words:
        return ""
    match words[0].removeprefix(".venv/bin/"):
        case "mousetrap":
            return _wrong_words(words[1:], is_whole=shown.is_whole)
        case "make":
            return "" if words[1] in (*_TARGETS, ".venv/.develop") else "there is no such target"
        case "python":
            is_there = (_ROOT / words[1]).is_file() or f"# {words[1]}\n" in shown.page.read_text()
            return "" if is_there else "there is no such file"
        case name if name.startswith("tools/"):
            return "" if (_ROOT / name).is_file() else "there is no such file"
        case name if name.startswith("mousetrap-"):
            return (
                ""
                if (_ROOT / f"projects/{name.removeprefix('mousetrap-').replace('-', '_')}").exists()
                else "no such project"
            )
        case "pytest":
            return ""  # of what `mousetrap new` has written
        case name:
            return "" if name.startswith(_OTHERS) else "an unknown program"


def _wrong_words(words: list[str], *, is_whole: bool) -> str:
    command: Any = _PROGRAM
    context: Any = None
    words = [word.rstrip(");") for word in takewhile(lambda word: word not in (">", "|"), words)]
    while hasattr(command, "get_command") and words and not words[0].startswith("-"):
        context = command.context_class(command, parent=context)
        name, *words = words
        if name in ("COMMAND", "x"):  # of any
            return ""
        if (command := command.get_command(context, name)) is None:
            return f"there is no command {name}"
    if hasattr(command, "get_command") and not words:
        return ""
    try:
        command.make_context(command.name, words, parent=context)
    except SystemExit:  # --help
        return ""
    except Exception as error:  # noqa: BLE001  the library has a copy of the errors that it does not export
        is_short = "Missing" in type(error).__name__ or "requires an argument" in str(error)
        return "" if is_short and not is_whole else repr(error)
    return ""


def test_what_a_shell_is_shown_is_correct_for_it() -> None:
    blocks = [(page, block) for page in _PAGES for block in _blocks(page)]

    wrong = [
        (str(page), found.stderr)
        for page, block in blocks
        if (
            found := subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        ).returncode
    ]

    assert len(blocks) > 30
    assert wrong == []


def test_every_command_on_a_page_can_be_run() -> None:
    shown = list(_shown())

    assert len(shown) > 200
    assert [f"{it}: {why}" for it in shown if (why := _wrong(it))] == []


#: Pages with code that no test runs: of a library that is not installed here.
_NOT_RUN = {"traces-and-logs"}


def test_the_code_of_every_page_is_run_by_a_test() -> None:
    tests = "\n".join(path.read_text() for path in (_ROOT / "test").rglob("test_*.py"))
    with_code = {page.stem for page in (_ROOT / "docs").glob("*.md") if "```python\n" in page.read_text()}

    run = {name for name in with_code if f'{name}.md"' in tests}
    assert with_code - run == _NOT_RUN
