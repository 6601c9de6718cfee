"""Each role sees what its key may do, and does no more."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx
import pytest

from mousetrap.api_keys import new_key
from mousetrap.dashboard.pages import ROUTES
from support.dashboard import OWN_FORM
from support.letters import KEYS, QUEUE, bury, job_of, letter_of, redriven

READ, READ_ENTRY = new_key("reader", ["read"], bytes(32))
START, START_ENTRY = new_key("starter", ["read", "run"], bytes(range(1, 33)))
OPS, OPS_ENTRY = new_key("ops", ["read", "run", "operate"], bytes(range(32)))
ENTRIES = f"{READ_ENTRY}\n{START_ENTRY}\n{OPS_ENTRY}"
#: The forms of each page, that change nothing but the visitor's own browser.
OWN = {"/ui/theme", "/ui/sign-out"}
_FORM = re.compile(r"<form\b[^>]*>")


@dataclass
class Site:
    """An API with a run, a dead letter of it and an operation, and who asks it."""

    api: httpx.Client
    names: dict[str, str]

    def sign_in(self, key: str) -> None:
        self.api.cookies.clear()
        assert self.api.post("/ui/sign-in", data={"key": key}, headers=OWN_FORM).status_code == 303

    def address(self, path: str) -> str:
        return "/ui" + re.sub(r"\{(\w+)\}", lambda name: self.names[name[1]], path)

    def kept(self) -> Any:
        """What an act would change."""
        key = {"X-API-Key": OPS}
        asked = ("/runs", "/dead", "/operations", "/schedules", "/audit")
        return [self.api.get(path, headers=key).json() for path in asked]


@pytest.fixture
def site(serve: Callable[..., httpx.Client], store_url: str) -> Site:
    api = serve(api_keys=ENTRIES, signing_keys=KEYS)
    api.headers["X-API-Key"] = OPS
    run_id = api.post("/pipelines/earthquakes/runs").json()["run_id"]
    operation = redriven(api, {"error": "NoSuchError"})
    api.post("/schedules", json={"name": "hourly", "pipeline": "earthquakes", "every": 3600})
    del api.headers["X-API-Key"]
    bury(store_url, letter_of(run_id))
    names = {
        "run": run_id,
        "queue": QUEUE,
        "letter": job_of(run_id).id,
        "operation": operation["id"],
        "pipeline": "earthquakes",
        "worker": "w1",
        "name": "hourly",
    }
    return Site(api, names)


def forms_of(page: httpx.Response) -> set[str]:
    """Where the forms of a page lead that change something."""
    forms = [form for form in _FORM.findall(page.text) if re.search(r'method="post"', form, re.IGNORECASE)]
    return {unescape(re.findall(r'action="([^"]*)"', form)[0]) for form in forms} - OWN


@pytest.mark.parametrize("key", [READ, START], ids=["read", "run"])
def test_a_visitor_without_the_scope_does_nothing_by_any_form(
    site: Site, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    site.sign_in(key)
    before = site.kept()
    may_start = [route.path for route in ROUTES if route.act and "start" in route.path]

    for route in ROUTES:
        if route.act and not (key == START and route.path in may_start):
            answer = site.api.post(site.address(route.path), data={}, headers=OWN_FORM)
            assert answer.status_code == 403, (route.path, answer.status_code, answer.text)
            assert "lacks the scope" in answer.text, route.path
    assert site.kept() == before
    refused = [vars(record) for record in caplog.records if record.name == "mousetrap.audit"]
    assert {(it["act"], it["who"]) for it in refused} == {("refused", key.split("_")[1])}


def test_a_visitor_who_may_only_read_sees_no_form_that_changes_something(site: Site) -> None:
    site.sign_in(READ)

    for route in ROUTES:
        if route.show:
            page = site.api.get(site.address(route.path))
            assert page.status_code in (200, 403, 404), route.path
            assert forms_of(page) == set(), route.path


def test_a_visitor_who_may_operate_sees_the_forms(site: Site) -> None:
    site.sign_in(OPS)

    found = {
        form for route in ROUTES if route.show for form in forms_of(site.api.get(site.address(route.path)))
    }

    assert {form.rpartition("/")[2] for form in found} >= {"cancel", "redrive", "discard", "start"}
