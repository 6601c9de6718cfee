"""Checks in a browser how a run is started from a form."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Stack
from support import form_worker
from support.processes import Process, clean_environment
from support.stack import SIGNING_KEYS
from support.waiting import until

GO = "Start"


@pytest.fixture
def orders(stack: Stack, store_url: str) -> Iterator[Stack]:
    """The stack, with a worker whose input has a field of every kind."""
    environment = {
        "MOUSETRAP_BROKER_URL": store_url,
        "MOUSETRAP_STORE_URL": store_url,
        "MOUSETRAP_SIGNING_KEYS": SIGNING_KEYS,
    }
    command = [sys.executable, "-m", "mousetrap.cli", "worker", str(Path(form_worker.__file__))]
    process = Process(command, clean_environment(**environment))
    try:
        until(lambda: stack.api.get("/pipelines/orders").status_code == 200, "the API knows the pipeline")
        yield stack
    finally:
        process.kill()


def started(orders: Stack, tab: Page) -> object:
    """The input of the run whose page is open."""
    expect(tab).to_have_url(re.compile(r"/ui/runs/\w+$"))
    return orders.api.get(f"/runs/{tab.url.rpartition('/')[2]}").json()["input"]


def test_from_the_form_to_the_result_without_a_reload(orders: Stack, tab: Page) -> None:
    tab.goto(orders.page("/pipelines/orders/start"))
    tab.get_by_label("name").fill("Anna")
    tab.get_by_label("count").fill("11")
    tab.get_by_label("type").select_option("square")
    tab.get_by_label("side").fill("3")  # its fields came with the choice
    tab.get_by_label("count").press("Enter")

    wrong = tab.get_by_label("count")
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(tab.get_by_role("alert")).to_contain_text("greater than the maximum of 10")
    wrong.fill("10")
    tab.get_by_role("button", name=GO, exact=True).last.click()

    expected = {"name": "Anna", "count": 10, "shape": {"type": "square", "side": 3}}
    given = started(orders, tab)
    assert isinstance(given, dict) and expected.items() <= given.items()
    expect(tab.locator("#head")).to_contain_text("completed")


def test_a_text_and_the_box_for_none_exclude_each_other(orders: Stack, tab: Page) -> None:
    tab.goto(orders.page("/pipelines/orders/start"))
    text, none = tab.get_by_label("reply_to"), tab.get_by_label("none", exact=True)
    expect(none).to_be_checked()

    text.fill("a@b")
    expect(none).not_to_be_checked()
    none.check()
    expect(text).to_have_value("")


@pytest.mark.parametrize("script", [True, False])
def test_rows_json_and_commands_work_with_and_without_script(
    orders: Stack, open_browser: Callable[..., Page], script: bool
) -> None:
    tab = open_browser(java_script_enabled=script)
    tab.goto(orders.page("/pipelines/orders/start"))
    tab.get_by_label("name").fill("Ben  \"the\" 'best' $HOME")
    tab.get_by_label("count").fill("2")
    tab.get_by_role("button", name="Add an item").click()
    tab.get_by_role("button", name="Add an item").click()
    tab.get_by_label("1", exact=True).fill("JP")
    tab.get_by_label("2", exact=True).fill("CL")
    tab.get_by_role("button", name="Remove 1").click()
    tab.get_by_role("button", name="JSON").click()
    text = json.loads(tab.get_by_label("Input, as JSON").input_value())
    assert text["regions"] == ["CL"]
    expect(tab.locator(".same").first).to_contain_text("mousetrap run orders --input")

    tab.get_by_role("button", name=GO, exact=True).last.click()

    assert started(orders, tab) == text
