"""A browser signs in and out; forms of other sites change nothing."""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Stack, Watch
from mousetrap.api_keys import new_key

READ, READ_ENTRY = new_key("reader", ["read"], bytes(32))
OPS, OPS_ENTRY = new_key("ops", ["read", "run", "operate"], bytes(range(32)))
#: A page of another site: a link to ours, and forms that act on it.
OTHER_SITE = """<!doctype html><a href="{url}/ui/workers">look</a>
<form method="post" action="{url}/ui/theme"><input name="theme" value="dark"><button id="theme">go</button></form>
<form method="post" action="{url}/ui/sign-out"><button id="out">go</button></form>"""

Open = Callable[..., Page]


def named(url: str, host: str) -> str:
    """The same address by another name of this machine."""
    return f"http://{host}:{urlsplit(url).port}"


def sign_in(tab: Page, url: str, key: str = OPS) -> None:
    tab.goto(f"{url}/ui/workers")
    expect(tab.get_by_role("heading", level=1)).to_have_text("Sign in")
    tab.get_by_label("API key").fill(key)
    tab.get_by_role("button", name="Sign in").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("Workers")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "mousetrap.example"])
@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_people_sign_in_and_out_by_any_name_without_https(
    start_stack: Callable[..., Stack], open_browser: Open, watch: Watch, host: str, script: bool
) -> None:
    """By a name that is not this machine's a browser sends no fetch metadata: the form's origin decides."""
    watch.hosts.add(host)
    url = named(start_stack(api_keys=OPS_ENTRY).url, host)
    tab = open_browser(java_script_enabled=script)

    sign_in(tab, url)
    tab.get_by_role("button", name="Theme").click()
    expect(tab.locator("html")).to_have_attribute("data-theme", "light")
    tab.goto(f"{url}/ui/workers")
    tab.get_by_role("button", name="Sign out").click()
    expect(tab.get_by_text("You are signed out.")).to_be_visible()
    tab.goto(f"{url}/ui/workers")

    expect(tab).to_have_url(re.compile("/ui/sign-in"))


def test_a_wrong_key_is_refused_at_its_field(start_stack: Callable[..., Stack], tab: Page) -> None:
    url = start_stack(api_keys=OPS_ENTRY).url
    tab.goto(f"{url}/ui/")

    tab.get_by_label("API key").fill("mt_ops_wrong")
    tab.get_by_role("button", name="Sign in").click()

    expect(tab.get_by_role("alert")).to_contain_text("The key is not known")
    expect(tab.get_by_label("API key")).to_have_attribute("aria-invalid", "true")
    expect(tab.get_by_label("API key")).to_be_focused()


@pytest.mark.parametrize("host", ["127.0.0.1", "mousetrap.example"])
def test_another_site_leads_to_pages_and_sends_none_of_its_forms(
    start_stack: Callable[..., Stack], open_browser: Open, watch: Watch, host: str
) -> None:
    watch.hosts |= {host, "other.example"}
    url = named(start_stack(api_keys=OPS_ENTRY).url, host)
    tab = open_browser()
    sign_in(tab, url)
    tab.route(
        "http://other.example/",
        lambda route: route.fulfill(body=OTHER_SITE.format(url=url), content_type="text/html"),
    )

    for form in ("#theme", "#out"):
        tab.goto("http://other.example/")
        tab.locator(form).click()
        expect(tab.get_by_role("heading", level=1)).to_have_text("This came from another site")
    tab.goto("http://other.example/")
    tab.get_by_role("link", name="look").click()

    if host == "mousetrap.example":  # where the browser does not say whose link it was
        tab.get_by_role("link", name="Go on").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("Workers")
    tab.goto(f"{url}/ui/workers")
    expect(tab.get_by_text("ops")).to_be_visible()
    expect(tab.locator("html")).not_to_have_attribute("data-theme", "dark")


def test_an_open_page_shows_that_its_visitor_was_signed_out(
    start_stack: Callable[..., Stack], tab: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.dashboard.app._CHECKED_EVERY_S", 0.0)
    monkeypatch.setattr("mousetrap.dashboard.live._HEARTBEAT_S", 0.1)
    stack = start_stack(api_keys=OPS_ENTRY)
    sign_in(tab, stack.url)
    other = tab.context.new_page()
    other.goto(f"{stack.url}/ui/workers")

    other.get_by_role("button", name="Sign out").click()

    expect(tab.get_by_text("You are not signed in any more")).to_be_visible()
    tab.get_by_role("link", name="Sign in again").click()
    tab.get_by_label("API key").fill(OPS)
    tab.get_by_role("button", name="Sign in").click()
    expect(tab).to_have_url(f"{stack.url}/ui/workers")


def test_who_may_only_read_sees_no_button_and_is_refused(
    start_stack: Callable[..., Stack], tab: Page
) -> None:
    stack = start_stack(api_keys=f"{OPS_ENTRY}\n{READ_ENTRY}")
    stack.api.headers["X-API-Key"] = OPS
    run_id = stack.start("earthquakes", {}, delay="3600")
    own = {f"{stack.url}/ui/theme", f"{stack.url}/ui/sign-out"}
    sign_in(tab, stack.url, READ)

    for path in (
        "/",
        "/runs",
        f"/runs/{run_id}",
        "/dead",
        "/operations",
        "/pipelines/earthquakes",
        "/queues",
    ):
        tab.goto(stack.page(path))
        forms = "[...document.forms].filter(it => it.method === 'post').map(it => it.action)"
        assert set(tab.evaluate(forms)) == own, path
    for path in (f"/runs/{run_id}/cancel", "/dead/redrive", "/pipelines/earthquakes/start"):
        answer = tab.goto(stack.page(path))
        assert answer is not None and answer.status == 403, path
        expect(tab.locator("main")).to_contain_text("lacks the scope")

    assert stack.api.get(f"/runs/{run_id}").json()["state"] == "queued"
