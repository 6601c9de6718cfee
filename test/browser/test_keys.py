"""Tours the dashboard by keys alone, in a browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Stack
from support.waiting import until


@pytest.fixture
def runs(stack: Stack, tmp_path: Path) -> list[str]:
    """Two runs that are due in an hour, the newest first."""
    stack.start_worker()
    until(lambda: stack.api.get("/pipelines/single").status_code == 200, "the API knows the pipeline")
    return [stack.submit("single", delay="3600") for _ in range(2)][::-1]


def test_each_page_of_the_navigation_has_a_key(stack: Stack, tab: Page) -> None:
    """Each key that the dialog names does that."""
    tab.goto(stack.page("/about"))
    links = [(it.get_attribute("data-key"), it.inner_text()) for it in tab.locator("header nav a").all()]
    named = tab.locator("#keys").text_content() or ""

    for keys, name in links:
        assert keys is not None and keys[0] == "g" and name in named
        for key in keys:
            tab.keyboard.press(key)
        expect(tab.locator("header nav a[aria-current]")).to_have_text(name)
        tab.wait_for_load_state()  # and with it the script of the new page


def test_rows_are_walked_selected_and_opened(stack: Stack, tab: Page, runs: list[str]) -> None:
    tab.goto(stack.page("/runs"))
    at = tab.locator(".rows tr[data-at]")
    for key, run_id in (("j", runs[0]), ("j", runs[1]), ("j", runs[1]), ("k", runs[0]), ("j", runs[1])):
        tab.keyboard.press(key)
        expect(at).to_have_id(f"r-{run_id}")

    tab.keyboard.press("x")
    expect(at.get_by_role("checkbox")).to_be_checked()
    tab.keyboard.press("x")
    expect(at.get_by_role("checkbox")).not_to_be_checked()
    assert stack.api.delete(f"/runs/{runs[1]}").status_code == 200
    expect(at).to_contain_text("cancelled")  # the row was sent again, and is marked still
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**/runs/{runs[1]}*")


def test_a_run_is_paused_repeated_and_cancelled(stack: Stack, tab: Page, runs: list[str]) -> None:
    tab.goto(stack.page(f"/runs/{runs[0]}"))
    for words in ("paused", "live"):
        tab.keyboard.press("p")
        expect(tab.locator("[data-live-text]")).to_have_text(words)

    tab.keyboard.press("c")
    dialog = tab.get_by_role("dialog")
    expect(dialog).to_be_visible()
    tab.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    tab.keyboard.press("r")
    expect(tab).to_have_url(re.compile(f"/runs/{runs[0]}/rerun"))


def test_the_first_stop_of_tab_skips_to_the_content(stack: Stack, tab: Page) -> None:
    tab.goto(stack.page("/workers"))
    tab.keyboard.press("Tab")
    expect(tab.locator(".skip")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("#main")).to_be_focused()
