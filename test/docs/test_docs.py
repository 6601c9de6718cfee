"""Tests that settings, tests, files and links of the documents exist."""

import re
from pathlib import Path

import pytest

from mousetrap.catalogue import SETTINGS
from mousetrap.settings import ENGINE, entries
from mousetrap.shapes import RunState

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "deploy/README.md", *sorted((ROOT / "docs").rglob("*.md"))]


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
