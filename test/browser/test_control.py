"""Pauses a queue and drains a worker, in a browser."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from browser.conftest import Stack
from support.waiting import until


def test_a_queue_is_paused_in_a_dialog_and_resumed(stack: Stack, tab: Page) -> None:
    stack.start_worker()
    until(lambda: stack.api.get("/queues/waiting_do").status_code == 200, "the queue is known")
    tab.goto(stack.page("/queues/waiting_do"))
    tab.get_by_role("link", name="Pause…").click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_label("Reason, for the audit trail").fill("the feed lies")
    dialog.get_by_role("button", name="Pause this queue").click()
    expect(tab.locator("#now .banner")).to_contain_text("the feed lies")

    until(lambda: stack.api.get("/workers").json()[0]["paused"] == ["waiting_do"], "the worker follows")
    run_id = stack.start("single", {"how": "done"})
    tab.goto(stack.page(f"/runs/{run_id}"))
    expect(tab.locator("#why")).to_contain_text("paused waiting_do")
    tab.goto(stack.page("/"))
    expect(tab.locator("#needs")).to_contain_text("waiting_do is paused")

    tab.goto(stack.page("/queues/waiting_do"))
    tab.get_by_role("button", name="Resume").click()
    expect(tab.locator("#now .banner")).to_have_count(0)
    stack.until_state(run_id, "completed")


def test_a_worker_is_drained_and_serves_again_without_script(
    stack: Stack, open_browser: Callable[..., Page]
) -> None:
    stack.start_worker()
    name = stack.api.get("/workers").json()[0]["name"]
    plain = open_browser(java_script_enabled=False)
    plain.goto(stack.page(f"/workers/{name}"))
    plain.get_by_role("link", name="Drain…").click()
    plain.get_by_role("button", name="Drain this worker").click()
    expect(plain.locator("#state .banner")).to_contain_text("asked to drain by loopback")

    plain.get_by_role("button", name="Serve again").click()
    expect(plain.locator("#state .banner")).to_have_count(0)
