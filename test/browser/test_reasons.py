"""Shows in a browser why a run waits."""

from pathlib import Path

from playwright.sync_api import Page, expect

from browser.conftest import Stack
from support.waiting import until


def why(stack: Stack, tab: Page, run_id: str) -> None:
    """Opens the run's page; what it waits for is on it while that is so."""
    tab.goto(stack.page(f"/runs/{run_id}"))
    expect(tab.locator("#why h2")).to_have_text("Why it waits")


def test_the_reason_changes_as_the_run_goes_on(stack: Stack, tab: Page, tmp_path: Path) -> None:
    """No worker, then all are busy, then it runs, then it ends: on one page that is never loaded again."""
    stack.start_worker().terminate()  # it leaves, and no one waits until it is taken for dead
    until(lambda: stack.api.get("/pipelines/single").status_code == 200, "the API knows the pipeline")
    holders = [stack.submit("single", "hold", tmp_path / "first") for _ in range(2)]
    run_id = stack.submit("single", "hold", tmp_path / "second")
    why(stack, tab, run_id)
    reason = tab.locator("#why > .reason")
    expect(reason).to_contain_text("No worker serves waiting_do")
    expect(tab.locator("#why").get_by_role("link", name="Workers").first).to_be_visible()

    stack.start_worker()
    for each in holders:
        stack.until_state(each, "running")
    expect(reason).to_contain_text("busy")
    (tmp_path / "first").touch()
    expect(tab.locator("#why h2")).to_have_text("What it does")
    (tmp_path / "second").touch()
    expect(tab.locator("#why")).to_be_hidden()


def test_a_run_waits_for_a_time_or_for_what_it_needs(stack: Stack, tab: Page, tmp_path: Path) -> None:
    stack.start_worker()
    never = tmp_path / "never"
    reasons = {
        stack.submit("single", delay="3600"): "begin",
        stack.submit("single", "fail"): "Attempt 2 of 5 of do begins at",
        stack.submit("single", "outage"): "waits for an outage to end",
    }
    for run_id, words in reasons.items():
        why(stack, tab, run_id)
        expect(tab.locator("#why > .reason")).to_contain_text(words)

    holder = stack.submit("locked", "hold", never)
    stack.until_state(holder, "running")
    why(stack, tab, stack.submit("locked"))
    expect(tab.locator("#why > .reason")).to_contain_text("feed")
    tab.locator("#why summary").first.click()
    tab.locator("#why").get_by_role("link", name=holder[:8]).first.click()
    tab.wait_for_url(f"**/runs/{holder}*")


def test_a_run_waits_for_the_jobs_that_it_opened(stack: Stack, tab: Page, tmp_path: Path) -> None:
    stack.start_worker()
    run_id = stack.submit("fanned", "hold", tmp_path / "mark")
    why(stack, tab, run_id)
    expect(tab.locator("#why > .reason")).to_contain_text("1 of 2")

    (tmp_path / "mark").touch()
    expect(tab.locator("#head")).to_contain_text("completed")
