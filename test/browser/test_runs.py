"""Checks in a browser how pages of runs change."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from browser.conftest import Stack
from support.waiting import until


def known(stack: Stack) -> None:
    """Returns once the API knows the worker's pipelines."""
    stack.start_worker()
    until(lambda: stack.api.get("/pipelines/fanned").status_code == 200, "the API knows them")


def test_rows_stay_while_others_come_and_what_is_selected_stays_selected(
    stack: Stack, tab: Page, tmp_path: Path
) -> None:
    known(stack)
    mark = tmp_path / "mark"
    first = stack.submit("single", "hold", mark)
    stack.until_state(first, "running")
    tab.goto(stack.page("/runs?state=running"))
    row = tab.locator(f"#r-{first}")
    row.get_by_role("checkbox").check()

    second = stack.submit("single", "hold", tmp_path / "other")
    expect(tab.locator("#news")).to_contain_text("1 new")
    expect(tab.locator("#list tbody tr")).to_have_count(1)
    expect(row.get_by_role("checkbox")).to_be_checked()

    mark.touch()
    expect(row).to_contain_text("completed")
    expect(row).to_contain_text("changed")
    expect(row.get_by_role("checkbox")).to_be_checked()
    tab.locator("#news a").click()
    expect(tab.locator(f"#r-{second}")).to_be_visible()
    expect(row).to_have_count(0)


def test_a_run_is_followed_to_its_result_and_its_stream_ends(stack: Stack, tab: Page, tmp_path: Path) -> None:
    known(stack)
    mark = tmp_path / "mark"
    run_id = stack.submit("single", "hold", mark)
    stack.until_state(run_id, "running")
    tab.goto(stack.page(f"/runs/{run_id}"))
    expect(tab.locator("#why")).to_contain_text("What it does")
    known_by = tab.locator("#why details")
    known_by.locator("summary").click()
    loaded = tab.evaluate("performance.timeOrigin")

    stack.submit("single")  # the region is sent again as its facts age
    expect(tab.locator("#shown")).to_contain_text("started")
    age = tab.locator("#why .reason").inner_text()
    expect(tab.locator("#why .reason")).not_to_have_text(age)
    expect(known_by).to_have_attribute("open", "")

    mark.touch()
    expect(tab.locator("#head")).to_contain_text("completed")
    expect(tab.locator("#shown")).to_contain_text("finished")
    expect(tab.locator("#why")).to_be_hidden()
    expect(tab.get_by_role("button", name="ended")).to_be_disabled()
    assert tab.evaluate("performance.timeOrigin") == loaded, "the page was not loaded again"


def test_a_run_is_cancelled_in_a_dialog_and_without_script_on_a_page(
    stack: Stack, tab: Page, open_browser: Callable[..., Page]
) -> None:
    known(stack)
    first, second, third = (stack.submit("single", delay="3600") for _ in range(3))
    tab.goto(stack.page(f"/runs/{first}"))
    tab.keyboard.press("c")
    dialog = tab.get_by_role("dialog")
    expect(dialog).to_contain_text("No attempt of it begins after that")
    dialog.get_by_label("Reason").fill("a test")
    dialog.get_by_role("button", name="Cancel this run").click()
    expect(tab.locator("#head")).to_contain_text("cancelled")
    expect(tab.get_by_text("The run is cancelled")).to_be_visible()

    plain = open_browser(java_script_enabled=False)
    plain.goto(stack.page("/runs?state=queued"))
    plain.get_by_label(f"Select {second[:12]}").check()
    plain.get_by_role("button", name="Cancel selected…").click()
    plain.get_by_role("button", name="Cancel", exact=True).click()
    expect(plain.get_by_text("1 run is cancelled")).to_be_visible()
    assert stack.api.get(f"/runs/{second}").json()["state"] == "cancelled"

    plain.goto(stack.page(f"/runs/{third}"))
    plain.get_by_role("link", name="Cancel…").click()
    plain.get_by_label("Reason").fill("a test")
    plain.get_by_role("button", name="Cancel this run").click()
    expect(plain.locator("#head")).to_contain_text("cancelled")
