"""Checks pictures in a browser: live, linked, and on a phone."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from browser.conftest import Stack


def test_the_counts_in_a_graph_move(stack: Stack, tab: Page, tmp_path: Path) -> None:
    stack.start_worker()
    tab.goto(stack.page("/pipelines/single"))
    title = tab.locator("svg.graph.wide a.node title")
    expect(title).to_contain_text("0 running")

    mark = tmp_path / "mark"
    stack.submit("single", "hold", mark)
    expect(title).to_contain_text("1 running")
    mark.touch()
    expect(title).to_contain_text("0 running")


def test_a_run_is_drawn_to_its_end_and_its_pictures_point_at_each_other(stack: Stack, tab: Page) -> None:
    stack.start_worker()
    run = stack.submit("single")
    tab.goto(stack.page(f"/runs/{run}"))

    stage = tab.locator("svg.graph.wide .node.n-completed").first
    expect(stage).to_be_visible(timeout=60_000)
    lane = tab.locator("svg.gantt.wide .lane").first
    expect(lane.locator("rect.b-ran")).to_have_count(1)

    stage.hover()
    expect(lane).to_have_class("lane same")
    tab.locator("h1").hover()
    expect(lane).to_have_class("lane")


def test_a_graph_leads_down_on_a_phone(stack: Stack, open_browser: Callable[..., Page]) -> None:
    phone = open_browser(viewport={"width": 380, "height": 800}, color_scheme="dark")
    phone.goto(stack.page("/pipelines/feeds"))

    expect(phone.locator("svg.graph.tall")).to_be_visible()
    expect(phone.locator("svg.graph.wide")).to_be_hidden()
    assert phone.evaluate("document.documentElement.scrollWidth <= innerWidth")
