"""Tests that settings, tests, files and links of the documents exist."""

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from mousetrap.api.problems import Kind
from mousetrap.catalogue import SETTINGS
from mousetrap.metrics import REASONS
from mousetrap.settings import ENGINE, entries
from mousetrap.shapes import RunState
from reference import pages

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "deploy/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = sorted(source for folder in ("bases", "components") for source in (ROOT / folder).rglob("*.py"))
#: Files that log a text which another file makes.
TEXTS_FROM = {
    "components/mousetrap/known_pipelines/known.py": "components/mousetrap/known_pipelines/judge.py",
    "components/mousetrap/serve_worker/serve.py": "components/mousetrap/settings/unsigned.py",
    "bases/mousetrap/api/main.py": "components/mousetrap/settings/unsigned.py",
    "bases/mousetrap/cli/outbox_relay.py": "components/mousetrap/settings/unsigned.py",
}


def test_every_setting_is_listed_with_its_default() -> None:
    rows = re.findall(
        r"^\| `MOUSETRAP_(\w+)` \| (?:`([^`]*)`|empty) \|",
        (ROOT / "docs/settings.md").read_text(),
        re.MULTILINE,
    )

    listed = {name.lower(): default for name, default in rows}
    known = entries((ENGINE, *SETTINGS))
    actual = {name: _written(entry.field.default) for name, entry in known.items()}
    assert {name: listed.get(name) for name in actual} == actual
    assert set(listed) == set(actual)


def _written(default: object) -> str:
    """As people write it."""
    if isinstance(default, bool):
        return str(default).lower()
    return str(int(default)) if isinstance(default, float) else str(default)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_link_to_a_heading_finds_it() -> None:
    links = [
        (page, page.parent / to if to else page, heading)
        for page in PAGES
        for to, heading in re.findall(r"\]\((?!https?:)([^)#]*\.md|)#([^)]+)\)", page.read_text())
    ]

    assert [(page.name, heading) for page, to, heading in links if heading not in _anchors(to)] == []


@cache
def _anchors(page: Path) -> list[str]:
    """As GitHub and the site make them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_the_list_of_pages_has_each_once() -> None:
    listed = re.findall(r"^- \[.+?\]\(([\w-]+\.md)\)", (ROOT / "docs/README.md").read_text(), re.MULTILINE)

    assert sorted(listed) == sorted(
        page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md"
    )


def test_the_pages_on_commands_and_http_are_what_the_code_has() -> None:
    differ = [page.name for page, text in pages().items() if page.read_text() != text]

    assert differ == [], "PYTHONPATH=development .venv/bin/python -m reference writes them"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_group_that_a_page_names_exists(page: Path) -> None:
    commands = re.findall(r"^### (\S+ \S+)$", (ROOT / "docs/command-line.md").read_text(), re.MULTILINE)
    groups = "|".join({each.split()[0] for each in commands})
    named = re.findall(rf"\bmousetrap ((?:{groups}) [a-z][a-z-]*)\b", page.read_text())

    assert sorted({each for each in named if each not in commands}) == []


def test_every_log_line_that_warns_is_explained() -> None:
    page = (ROOT / "docs/runbook.md").read_text()
    lines = {line for source in SOURCES for line in _warnings(source)}

    assert len(lines) > 50
    assert [line for line in sorted(lines) if _fixed_part(line) not in page] == []


def test_every_kind_of_problem_has_what_to_do() -> None:
    page = (ROOT / "docs/runbook.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \| .+ \|$", page, re.MULTILINE)

    assert rows == [(kind.value, str(kind.status)) for kind in Kind]


@pytest.mark.parametrize("page", ["runbook", "glossary"])
def test_every_reason_of_a_dead_letter_is_explained(page: str) -> None:
    table = re.split(r"^## Reasons of.+$", (ROOT / f"docs/{page}.md").read_text(), flags=re.MULTILINE)[1]
    cells = re.findall(r"^\| (`.+?) \|", table.partition("\n## ")[0], re.MULTILINE)
    explained = [reason for cell in cells for reason in re.findall(r"`([\w-]+)`", cell)]

    ours = set(REASONS) - {"other"}
    of_the_broker = {"delivery_limit", "rejected", "expired", "maxlen"}
    assert sorted(explained) == sorted(ours | of_the_broker)


def _warnings(source: Path) -> Iterator[str]:
    """What a file logs at level warning and above, wherever its code has the text."""
    text = source.read_text()
    module = ast.parse(text) if "_log" in text else ast.Module([], [])
    functions = [it for it in ast.walk(module) if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in ast.walk(module):
        match node:
            case ast.Call(
                ast.Attribute(ast.Name("_log"), "warning" | "error" | "exception" | "critical"),
                [ast.Name(name), *_],
            ):
                yield from _texts_named(
                    name, module, [it for it in functions if node in ast.walk(it)], source
                )
            case ast.Call(
                ast.Attribute(ast.Name("_log"), "warning" | "error" | "exception" | "critical"), [logged, *_]
            ):
                yield _text_of(logged)
            case ast.Call(ast.Name("OutageLog"), given, named):
                by_name = [it.value for it in named if it.arg == "down"]
                yield _text_of([*by_name, *given[1:]][0])


def _texts_named(name: str, module: ast.Module, around: Sequence[ast.AST], source: Path) -> Iterator[str]:
    """The texts that a variable can hold: a constant's, those of the function that logs it, or of the file that makes them."""
    constants: list[ast.AST] = [
        it.value
        for it in module.body
        if isinstance(it, ast.Assign) and [ast.unparse(target) for target in it.targets] == [name]
    ]
    made_in = TEXTS_FROM.get(str(source.relative_to(ROOT)))
    if made_in:
        around = ast.parse((ROOT / made_in).read_text()).body
    raised = {
        it
        for place in around
        for error in ast.walk(place)
        if isinstance(error, ast.Raise)
        for it in ast.walk(error)
    }
    found = constants or [
        it for place in around for it in ast.walk(place) if _is_text(it) and it not in raised
    ]
    texts = [_text_of(it) for it in found if len(_fixed_part(_text_of(it))) > 12]
    assert texts, f"{source} logs {name}, whose text is not found: name its file in TEXTS_FROM"
    yield from texts


def _is_text(node: ast.AST) -> bool:
    """A text with a place for what differs, or with one for logging to fill."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and "%" in str(node.value))


def _text_of(node: ast.AST) -> str:
    """A text as logging formats it, with a place for each part that differs."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(it.value) if isinstance(it, ast.Constant) else "%s" for it in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "%s"


def _fixed_part(line: str) -> str:
    """The longest part of a line that is always the same."""
    return max(re.split(r"%[\w.]+|; a handler that", line), key=len).strip(" :;(")


def test_every_test_that_a_promise_names_exists() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "test").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs/guarantees.md").read_text())

    assert len(named) > 20
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_every_file_on_the_way_of_a_message_exists() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    named = re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|lua))`", page)

    bricks = [*(ROOT / "bases/mousetrap").iterdir(), *(ROOT / "components/mousetrap").iterdir()]
    places = [ROOT, *bricks, *(brick.parent for brick in bricks)]
    assert len(named) > 15
    assert [name for name in named if not any((place / name).is_file() for place in places)] == []


def test_the_glossary_knows_every_state() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \|.*\| (yes)? ?\|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE
    )

    assert {state: ended == "yes" for state, ended in rows} == {
        state.value: state.ended for state in RunState
    }
