"""Checks in a browser what all pages have."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Stack


def test_a_page_changes_while_it_is_open_and_a_paused_one_does_not(stack: Stack, tab: Page) -> None:
    tab.goto(stack.page("/workers"))
    expect(tab.locator("#list")).to_contain_text("No worker is listed")

    worker = stack.start_worker()
    expect(tab.locator("#list table")).to_be_visible()
    row = tab.locator("#list tbody tr")
    expect(row).to_have_count(1)

    tab.get_by_role("button", name="live").click()
    expect(tab.get_by_role("button", name="paused")).to_be_visible()
    worker.kill()
    second = stack.start_worker()
    tab.reload()  # a paused page stays paused where it is opened again
    expect(tab.get_by_role("button", name="paused")).to_be_visible()
    names = tab.locator("#list tbody td:first-child")
    before = names.all_inner_texts()
    second.kill()
    third = stack.start_worker()
    assert tab.locator("#stream > *").count() == 0
    assert names.all_inner_texts() == before

    tab.get_by_role("button", name="paused").click()
    expect(tab.locator("#list")).to_contain_text(f"-{third.pid}-")


def test_the_stream_of_a_page_is_opened_once_and_ends_with_the_page(stack: Stack, tab: Page) -> None:
    asked: list[str] = []
    tab.on("request", lambda it: asked.append(it.url) if "/live/" in it.url else None)
    with tab.expect_response("**/ui/live/workers"):
        tab.goto(stack.page("/workers"))
    expect(tab.locator("#list")).to_be_visible()
    tab.goto(stack.page("/about"))

    assert asked.count(stack.page("/live/workers")) == 1


def test_keys_lead_to_pages_and_never_out_of_a_field(stack: Stack, tab: Page) -> None:
    tab.goto(stack.page("/workers"))
    tab.keyboard.press("?")
    expect(tab.get_by_role("dialog")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog")).to_be_hidden()

    tab.keyboard.press("/")
    expect(tab.get_by_role("searchbox")).to_be_focused()
    tab.keyboard.type("gq")
    expect(tab.get_by_role("searchbox")).to_have_value("gq")
    tab.keyboard.press("Escape")

    tab.keyboard.press("g")
    tab.keyboard.press("q")
    tab.wait_for_url("**/ui/queues")


def test_the_theme_is_chosen_and_kept(stack: Stack, tab: Page) -> None:
    tab.goto(stack.page("/workers"))
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ground)

    for theme in ("light", "dark"):
        tab.keyboard.press("t")
        expect(tab.locator("html")).to_have_attribute("data-theme", theme)

    assert tab.url == stack.page("/workers")
    assert tab.evaluate(ground) != light
    tab.goto(stack.page("/queues"))
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"


def test_without_javascript_a_page_has_the_same_facts(
    stack: Stack, open_browser: Callable[..., Page]
) -> None:
    worker = stack.start_worker()
    plain = open_browser(java_script_enabled=False)
    plain.goto(stack.page("/workers"))

    expect(plain.locator("#list")).to_contain_text(f"-{worker.pid}-")


@pytest.mark.parametrize(
    "path", ["/queues?name=", "/workers?queue=", "/dead?queue=start_fetch&text=", "/runs?tag="]
)
def test_a_long_word_makes_no_page_wider_than_its_window(stack: Stack, tab: Page, path: str) -> None:
    tab.goto(stack.page(f"{path}{'x' * (64 if 'tag' in path else 190)}"))

    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
