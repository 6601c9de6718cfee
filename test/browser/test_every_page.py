"""Walks over all pages in a browser, and finds no fault."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, ViewportSize, expect

from browser.conftest import Stack
from mousetrap.api_keys import new_key
from mousetrap.dashboard.pages import ROUTES
from mousetrap.dashboard.pages.run import TABS
from support import vendor_worker
from support.waiting import until

#: All rules in light; in dark those of colours alone, as the rest of a page is the same.
_RULES: dict[str, dict[str, Any]] = {
    "light": {"resultTypes": ["violations"]},
    "dark": {"resultTypes": ["violations"], "runOnly": ["color-contrast", "link-in-text-block"]},
}
_GRAVE = ("serious", "critical")
_PHONE = ViewportSize(width=390, height=800)
_DESK = ViewportSize(width=1280, height=900)


@dataclass
class Site:
    """A stack with runs in most states, dead letters and an operation."""

    stack: Stack
    names: dict[str, str]
    #: Runs by what became of them.
    runs: dict[str, str]

    def pages(self) -> list[str]:
        """The address of each page, and of those views of it that have blocks of their own."""
        shown = [self.filled(route.path) for route in ROUTES if route.show]
        views = [f"/runs/{run}" for run in self.runs.values()]
        views += [f"/runs/{self.runs['fanned']}?tab={tab}" for tab in TABS]
        views += [f"/pipelines/fanned?tab={tab}" for tab in ("graph", "stages", "contracts", "runs")]
        views += [
            "/runs?state=failed",
            "/runs?tag=nothing-has-it",
            "/search?q=vendor",
            "/dead/redrive?queue=vendor_price",
            "/runs/none",
            "/nowhere",
        ]
        return [*shown, *views]

    def filled(self, path: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda name: self.names[name[1]], path)


def letters(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.api.get("/dead").json()["letters"]
    return found


@pytest.fixture
def site(stack: Stack, tmp_path: Path) -> Site:
    stack.start_worker()
    stack.start_worker(vendor_worker, "serving vendor_price")
    runs = {
        "failed": stack.start("vendor", {"number": 1, "mark": str(tmp_path / "never")}),
        "delayed": stack.submit("single", delay="3600", tags="shop"),
        "completed": stack.submit("single"),
        "retrying": stack.submit("single", "fail"),
        "fanned": stack.submit("fanned", "wrong"),
        "held": stack.submit("single", "hold", tmp_path / "never"),
    }
    for name, state in (("failed", "failed"), ("completed", "completed"), ("fanned", "failed")):
        stack.until_state(runs[name], state)
    until(lambda: len(letters(stack)) == 2, "both letters are there")
    letter = next(it for it in letters(stack) if it["queue"] == "vendor_price")
    body = {"error": "NoSuchError", "rate": 1}
    operation = stack.api.post("/dead/redrive", json=body).json()["id"]
    names = {
        "run": runs["held"],
        "queue": "vendor_price",
        "letter": letter["id"],
        "operation": operation,
        "pipeline": "fanned",
        "worker": stack.api.get("/workers").json()[0]["name"],
        "name": _scheduled(stack),
    }
    return Site(stack, names, runs)


def _scheduled(stack: Stack) -> str:
    """A schedule that has fired."""
    members = {"name": "hourly", "pipeline": "single", "every": 3600, "input": {"how": "done", "mark": ""}}
    stack.api.post("/schedules", json=members).raise_for_status()
    stack.api.post("/schedules/hourly/run").raise_for_status()
    return "hourly"


def grave(tab: Page, theme: str) -> list[str]:
    """What axe finds that keeps people from using the page."""
    found = Axe().run(tab, options=_RULES[theme]).response["violations"]
    return [
        f"{it['id']} ({it['impact']}): {node['html'][:200]} {node['failureSummary']}"
        for it in found
        if it["impact"] in _GRAVE
        for node in it["nodes"][:3]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_can_be_used_by_all_and_on_a_phone(
    site: Site, open_browser: Callable[..., Page], theme: str
) -> None:
    """In one walk, as opening a page costs more than looking at it."""
    tab = open_browser(color_scheme=theme)
    faults: list[str] = []

    for path in site.pages():
        tab.set_viewport_size(_DESK)
        tab.goto(site.stack.page(path))
        expect(tab.locator("main h1")).to_have_count(1)
        faults += [f"{path}: {fault}" for fault in grave(tab, theme)]
        tab.set_viewport_size(_PHONE)
        if not tab.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            faults.append(f"{path}: scrolls sideways on a phone")

    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_signing_in_and_what_opens_over_a_page_can_be_used_by_all(
    start_stack: Callable[..., Stack], open_browser: Callable[..., Page], theme: str
) -> None:
    key, entry = new_key("ops", ["read", "run", "operate"], bytes(range(32)))
    stack = start_stack(api_keys=entry)
    stack.api.headers["X-API-Key"] = key
    run_id = stack.start("earthquakes", {}, delay="3600")
    tab = open_browser(color_scheme=theme, viewport=_PHONE)

    tab.goto(stack.page(f"/runs/{run_id}"))
    tab.get_by_label("API key").fill("wrong")
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("alert")).to_be_visible()
    faults = grave(tab, theme)
    tab.get_by_label("API key").fill(key)
    tab.get_by_role("button", name="Sign in").click()
    tab.wait_for_url(stack.page(f"/runs/{run_id}"))
    for opener in ("c", "?"):
        tab.keyboard.press(opener)
        expect(tab.get_by_role("dialog")).to_be_visible()
        faults += grave(tab, theme)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tab.keyboard.press("Escape")
        expect(tab.get_by_role("dialog")).to_be_hidden()
    tab.get_by_role("button", name="Sign out").click()
    expect(tab.get_by_text("You are signed out.")).to_be_visible()
    faults += grave(tab, theme)

    assert not faults, "\n".join(faults)


def test_the_description_of_http_is_drawn(stack: Stack, tab: Page) -> None:
    """No policy is broken and no other host asked, or the fixture fails."""
    tab.goto(f"{stack.url}/docs")

    expect(tab.get_by_role("link", name="/pipelines/earthquakes/runs")).to_be_visible()
