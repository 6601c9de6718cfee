"""Finds what fails and repairs it, in a browser."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Stack
from support import vendor_worker


@pytest.fixture
def orders(stack: Stack, tmp_path: Path) -> list[str]:
    """Runs that failed, because their vendor was away; it is back now."""
    stack.start_worker(vendor_worker, "serving vendor_price")
    mark = tmp_path / "back"
    orders = [stack.start("vendor", {"number": number, "mark": str(mark)}) for number in range(4)]
    for run_id in orders:
        stack.until_state(run_id, "failed")
    mark.touch()
    return orders


def test_a_failing_stage_is_found_and_redriven_in_three_clicks(
    stack: Stack, tab: Page, orders: list[str]
) -> None:
    tab.goto(stack.page("/"))
    tab.locator("#needs").get_by_text("4 dead letters in vendor_price, VendorAway").wait_for()

    tab.get_by_role("link", name="Look and redrive").click()
    tab.get_by_role("link", name="Redrive…").click()
    tab.get_by_label("How many a second, at most").fill("1")
    tab.get_by_role("button", name="Redrive").click()

    tab.wait_for_url("**/ui/operations/*")
    opened = tab.evaluate("performance.timeOrigin")
    expect(tab.locator("#state dl")).to_contain_text("1 a second, at most")
    expect(tab.locator("#state progress")).to_have_attribute("value", re.compile("[123]"))
    expect(tab.locator("#state")).to_contain_text("4 of 4 tried")
    expect(tab.locator("#state .headline")).to_contain_text("done")
    assert tab.evaluate("performance.timeOrigin") == opened, "it went on without a reload"
    for run_id in orders:
        stack.until_state(run_id, "completed")


def test_a_letter_is_edited_without_script(
    stack: Stack, open_browser: Callable[..., Page], orders: list[str]
) -> None:
    plain = open_browser(java_script_enabled=False)
    plain.goto(stack.page("/dead"))
    plain.get_by_role("link", name="VendorAway").first.click()
    plain.get_by_role("link", name="Edit and redrive…").click()
    field = plain.get_by_label("Input, as JSON")

    # Of the group's letters any may be the newest.
    field.fill(re.sub(r'"number": \d+', '"number": "three"', field.input_value()))
    plain.get_by_role("button", name="Look at the change").click()
    expect(plain.locator("#changes ins")).to_contain_text('"number": "three"')
    plain.get_by_role("button", name="Redrive with this input").click()
    expect(plain.locator("#input-error")).to_contain_text("$.number")
    expect(field).to_have_value(re.compile("three"))

    field.fill(field.input_value().replace('"three"', "33"))
    plain.get_by_role("button", name="Look at the change").click()
    plain.get_by_role("button", name="Redrive with this input").click()
    plain.wait_for_url("**/ui/runs/*")
    run_id = plain.url.rpartition("/")[2]
    stack.until_state(run_id, "completed")
    assert stack.api.get(f"/runs/{run_id}").json()["result"] == 33


def test_a_group_is_redriven_without_script(
    stack: Stack, open_browser: Callable[..., Page], orders: list[str]
) -> None:
    plain = open_browser(java_script_enabled=False)
    plain.goto(stack.page("/dead"))
    plain.get_by_role("link", name="Redrive…").click()
    plain.get_by_label("How many a second, at most").fill("100")
    plain.get_by_label("Reason").fill("the vendor is back")
    plain.get_by_role("button", name="Redrive").click()

    plain.wait_for_url("**/ui/operations/*")
    expect(plain.locator("#state")).to_contain_text("the vendor is back")
    for run_id in orders:
        stack.until_state(run_id, "completed")
    plain.reload()
    expect(plain.locator("#state")).to_contain_text("4 of 4 tried")


def test_a_discard_can_be_left(stack: Stack, tab: Page, orders: list[str]) -> None:
    tab.goto(stack.page("/dead"))
    tab.get_by_role("link", name="Discard…").click()
    expect(tab.get_by_role("button", name="Discard 4 letters")).to_be_visible()

    tab.get_by_role("link", name="Leave them").click()

    expect(tab.locator("#list")).to_contain_text("4 dead letters, by cause")
