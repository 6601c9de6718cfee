"""Runs the blocks and rows of the page about migrating."""

import re
from typing import Any

import pytest

from mousetrap.celery_messages import read_declared
from mousetrap.settings.other_names import OTHER_NAMES
from support.rows_page import RowsPage

PAGE = RowsPage("migrating.md")


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the page's blocks define, in their order."""
    return PAGE.run_blocks()


def test_every_row_has_a_check() -> None:
    assert len(PAGE.rows) == PAGE.count_rows() > 15


def test_the_checks_of_all_rows_hold(names: dict[str, Any]) -> None:
    assert PAGE.wrong_rows(names) == []


def test_the_table_of_settings_has_every_name_that_is_known() -> None:
    _, _, table = PAGE.text.partition("## Names of settings")

    assert set(re.findall(r"`([A-Z_]+)`", table)) >= set(OTHER_NAMES)


def test_the_declarations_of_the_page_are_read_and_name_its_tasks(names: dict[str, Any]) -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.text, re.MULTILINE | re.DOTALL)

    declared = read_declared(text)

    assert {
        name: names[pipeline].pipeline.name for name, pipeline in declared.tasks.items()
    } == declared.tasks
    assert names["order"].pipeline.stages[-1].name == "render"
