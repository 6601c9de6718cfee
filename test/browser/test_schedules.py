"""Looks at schedules and changes them, in a browser."""

from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Stack

MEMBERS = {"name": "nightly", "pipeline": "earthquakes", "cron": "30 2 * * *", "tz": "Europe/Berlin"}


@pytest.fixture
def schedule(stack: Stack) -> str:
    """A schedule that fires at night."""
    httpx.post(f"{stack.url}/schedules", json=MEMBERS).raise_for_status()
    return "nightly"


def test_a_schedule_is_found_paused_and_resumed(stack: Stack, tab: Page, schedule: str) -> None:
    tab.goto(stack.page("/"))
    tab.get_by_role("link", name="Schedules").click()
    expect(tab.locator("#list")).to_contain_text("At 02:30 every day (Europe/Berlin)")

    tab.get_by_role("link", name=schedule).click()
    tab.get_by_role("link", name="Pause…").click()
    tab.get_by_label("Reason").fill("ticket 81")
    tab.get_by_role("button", name="Pause").click()
    expect(tab.locator("#state .alarm")).to_contain_text("ticket 81")

    tab.get_by_role("link", name="Resume…").click()
    tab.get_by_role("button", name="Resume").click()
    expect(tab.locator("#state .alarm")).to_have_count(0)


def test_a_run_by_hand_appears_without_a_reload(stack: Stack, tab: Page, schedule: str) -> None:
    tab.goto(stack.page(f"/schedules/{schedule}"))
    opened = tab.evaluate("performance.timeOrigin")
    expect(tab.locator("#state")).to_contain_text("No tick was due yet")

    httpx.post(f"{stack.url}/schedules/{schedule}/run").raise_for_status()

    expect(tab.locator("#state table")).to_contain_text("by hand")
    assert tab.evaluate("performance.timeOrigin") == opened


def test_a_wrong_expression_is_shown_at_its_field_without_script(
    stack: Stack, open_browser: Callable[..., Page], schedule: str
) -> None:
    plain = open_browser(java_script_enabled=False)
    plain.goto(stack.page(f"/schedules/{schedule}"))
    plain.get_by_role("link", name="Change…").click()
    plain.get_by_label("Cron").fill("0 0 30 2 *")
    plain.get_by_role("button", name="Change").click()
    expect(plain.locator(".error")).to_contain_text("never fires")

    plain.get_by_label("Cron").fill("0 4 * * *")
    plain.get_by_label("While the last run goes on").select_option("queue one")
    plain.get_by_label("Later by up to").fill("90")
    plain.get_by_role("button", name="Change").click()
    expect(plain.locator("#state .headline")).to_contain_text("At 04:00 every day")
    expect(plain.locator("#state .facts")).to_contain_text("queue one")
    expect(plain.locator("#state .facts")).to_contain_text("up to 1.5 min")
