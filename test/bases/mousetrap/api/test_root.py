"""The two short paths serve one pipeline."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mousetrap.api import create_app
from mousetrap.settings import Settings


def test_refresh_starts_a_run_of_earthquakes(api: httpx.Client) -> None:
    answer = api.post("/refresh")

    assert answer.json()["status"] == "ok"
    run = api.get(f"/runs/{answer.json()['run_id']}").json()
    assert (run["pipeline"], run["state"]) == ("earthquakes", "queued")


def test_the_root_is_the_newest_summary(api: httpx.Client, worker: Any) -> None:
    assert api.get("/").json() == {}

    worker.complete(api.post("/refresh").json()["run_id"], {"earthquakes": 3})

    assert api.get("/").json() == {"earthquakes": 3}


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "is_led"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML, application/json;q=0.9", True),
        ("text/html;q=0.5, */*;q=0.1", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0, */*", False),
        ("text/html;q=nan", False),
        ("text/html;q=1e9", False),
        ("text/*", False),
    ],
)
def test_a_browser_is_led_to_the_dashboard_and_others_get_the_newest_result(
    api: httpx.Client, accept: str, is_led: bool
) -> None:
    answer = api.get("/", headers={"Accept": accept})

    assert (answer.status_code, answer.headers.get("location")) == ((303, "/ui/") if is_led else (200, None))


def test_without_the_dashboard_browsers_get_what_others_get(serve: Callable[..., httpx.Client]) -> None:
    api = serve(ui=False)

    assert api.get("/", headers={"Accept": BROWSER}).json() == {}
    for path in ("/ui", "/ui/", "/ui/workers", "/ui/sign-in"):
        answer = api.get(path)
        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:mousetrap:problem:no-such-path"


def test_without_a_root_pipeline_only_browsers_find_something_there() -> None:
    async def ask(accept: str) -> httpx.Response:
        transport = httpx.ASGITransport(create_app(Settings(), {}))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/", headers={"Accept": accept})

    assert asyncio.run(ask(BROWSER)).headers["location"] == "/ui/"
    assert asyncio.run(ask("*/*")).json()["type"] == "urn:mousetrap:problem:no-such-path"
