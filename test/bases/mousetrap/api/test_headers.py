"""Responses have headers for browsers; the page needs no other server."""

import re
import socket
from collections.abc import Callable
from urllib.parse import urljoin

import httpx
import pytest

from mousetrap.api.middleware import OF_DATA, OF_PAGE
from mousetrap.api_keys import new_key
from mousetrap.run_store import RunStore

RUNS = "/pipelines/earthquakes/runs"

Serve = Callable[..., httpx.Client]


def check(answer: httpx.Response) -> None:
    """Each of the headers is there, once."""
    for name, value in OF_DATA.items():
        assert answer.headers.get_list(name) == [value], name


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("HEAD", "/health/live", 200),
        ("GET", "/runs", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/dead/export", 200),
        ("POST", RUNS, 202),
        ("GET", "/nothing", 404),
        ("GET", "/runs/a", 404),
        ("PUT", "/runs", 405),
        ("GET", "/runs?a", 422),
    ],
)
def test_each_response_asks_browsers_to_run_and_keep_nothing(
    api: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = api.request(method, path)

    assert answer.status_code == status
    check(answer)


def test_so_do_streams_refusals_of_callers_and_of_bodies(serve: Serve) -> None:
    key, entry = new_key("all", ["read", "run"], bytes(32))
    api = serve(api_keys=entry, api_max_body=10)

    check(api.get("/runs"))
    check(api.get("/runs", headers={"X-API-Key": "mt_all_no"}))
    api.headers["X-API-Key"] = key
    check(api.post("/dead/redrive"))
    check(api.post(RUNS, content=b" " * 11))
    run_id = api.post(RUNS).json()["run_id"]
    with api.stream("GET", f"/runs/{run_id}/events") as stream:
        check(stream)


def test_so_does_a_defect(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(RunStore, "get", broken)

    answer = api.get("/runs/a")

    assert answer.status_code == 500
    check(answer)


def test_so_does_what_is_refused_before_it_is_a_request(api: httpx.Client) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port or 80), timeout=60) as connection:
        connection.sendall(b"no request\r\n\r\n")
        answer = connection.makefile("rb").read().decode().lower()

    assert answer.startswith("http/1.1 400")
    for name, value in OF_DATA.items():
        assert f"\r\n{name}: {value}\r\n".lower() in answer, name


def test_the_page_and_all_that_it_loads_come_from_here(api: httpx.Client) -> None:
    page = api.get("/docs")

    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    files = [each for each in loaded if not each.startswith("data:")]
    assert len(files) == 4
    for each in files:
        assert "//" not in each
        answer = api.get(urljoin("/docs", each))
        assert (answer.status_code, len(answer.content) > 100) == (200, True), each
    assert 'url: "openapi.json"' in api.get("/docs/start.js").text


def test_the_page_may_run_and_load_nothing_else(api: httpx.Client) -> None:
    page = api.get("/docs")

    assert not re.findall(r"<script(?! src=)|<style| style=| on\w+=", page.text)
    for path in ("/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"):
        for name, value in OF_PAGE.items():
            assert api.get(path).headers.get_list(name) == [value], (path, name)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "http" not in policy


@pytest.mark.parametrize("path", ["/docs", "/docs/swagger-ui.css", "/openapi.json"])
def test_the_page_too_refuses_what_it_does_not_know(api: httpx.Client, path: str) -> None:
    assert api.get(path, params={"a": "b"}).status_code == 422
    assert api.head(path).status_code == 200


def test_there_is_no_other_page(api: httpx.Client) -> None:
    assert api.get("/redoc").status_code == 404
    assert api.get("/docs/oauth2-redirect").status_code == 404
