"""A fetch over real HTTP: what it brings, and how it fails."""

import asyncio
import gzip
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Literal

import pytest

from mousetrap.earthquakes import Feed, FeedRefused, FeedRequest, FeedUnavailable
from mousetrap.fetch_data import FetchBounds, fetch_data, open_fetcher
from mousetrap.telemetry import log_to_stderr

if TYPE_CHECKING:
    from components.mousetrap.fetch_data.conftest import FeedServer

Fetch = Callable[..., Feed]

_PACKED = {"Content-Encoding": "gzip"}


def test_a_real_week_of_earthquakes_is_brought(
    server: "FeedServer", week: bytes, fetch: Fetch, bounds: FetchBounds
) -> None:
    url = server.answers("/week", 200, week)

    feed = fetch(url, bounds)

    assert len(feed.events) == 1707


def test_a_packed_feed_is_asked_for_and_unpacked(
    server: "FeedServer", week: bytes, fetch: Fetch, bounds: FetchBounds
) -> None:
    url = server.answers("/week", 200, gzip.compress(week), headers=_PACKED)

    feed = fetch(url, bounds)

    assert len(feed.events) == 1707
    assert server.asked[0][1]["Accept-Encoding"] == "gzip"


async def test_a_fetcher_serves_several_fetches_at_once_and_shows_their_progress(
    server: "FeedServer", week: bytes
) -> None:
    url = server.answers("/week", 200, week)
    reports: list[tuple[int, int | None]] = []

    async with open_fetcher(FetchBounds(allowed=frozenset({server.place}))) as fetcher:
        feeds = await asyncio.gather(
            *(fetch_data(FeedRequest(url), fetcher, lambda *now: reports.append(now)) for _ in range(3))
        )

    assert [len(feed.events) for feed in feeds] == [1707] * 3
    assert reports.count((len(week), len(week))) == 3
    assert all(0 < received <= len(week) for received, _ in reports)


def test_a_server_that_is_not_there_is_unavailable(fetch: Fetch, bounds: FetchBounds) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/week?key=secret"

    with pytest.raises(FeedUnavailable, match=r"http://127.0.0.1:\d+/week cannot be reached"):
        fetch(url, bounds)


def test_a_server_that_does_not_speak_http_is_unavailable_and_not_quoted(
    server: "FeedServer", fetch: Fetch, bounds: FetchBounds
) -> None:
    def chat(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"220 secret greeting\r\n")

    server.routes["/week"] = chat

    with pytest.raises(FeedUnavailable, match="does not use HTTP") as unavailable:
        fetch(server.url("/week"), bounds)

    assert "secret" not in str(unavailable.value)


def test_a_body_that_trickles_ends_at_the_time_bound(
    server: "FeedServer", week: bytes, fetch: Fetch, bounds: FetchBounds
) -> None:
    # given a server that sends all but the end, and holds
    release = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(200)
        handler.send_header("Content-Length", str(len(week)))
        handler.end_headers()
        handler.wfile.write(week[:1000])
        release.wait(timeout=60)

    server.routes["/week"] = trickle

    try:
        with pytest.raises(FeedUnavailable, match=r"has not sent its whole response within 0\.5 s"):
            fetch(server.url("/week"), replace(bounds, total=0.5))
    finally:
        release.set()


def test_a_body_that_ends_too_soon_is_unavailable(
    server: "FeedServer", week: bytes, fetch: Fetch, bounds: FetchBounds
) -> None:
    url = server.answers("/week", 200, week[:1000], headers={"Content-Length": str(len(week))})

    with pytest.raises(FeedUnavailable, match="broke the connection"):
        fetch(url, bounds)


@pytest.mark.parametrize(("body", "reason"), [(b"html", "not JSON"), (b'{"a": 1}', "not a GeoJSON feed")])
def test_a_body_that_is_no_feed_is_refused(
    server: "FeedServer", body: bytes, reason: str, fetch: Fetch, bounds: FetchBounds
) -> None:
    url = server.answers("/week", 200, body)

    with pytest.raises(FeedRefused, match=rf"/week is {reason}"):
        fetch(url, bounds)


def test_a_feed_that_is_not_there_is_refused(server: "FeedServer", fetch: Fetch, bounds: FetchBounds) -> None:
    url = server.answers("/week", 404, b"secret")

    with pytest.raises(FeedRefused, match="/week answered 404") as refused:
        fetch(url, bounds)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Wed, 07 Feb 2018 01:50:14 GMT", "Date": "Wed, 07 Feb 2018 01:49:14 GMT"}, 60.0),
        ({}, None),
    ],
)
def test_a_busy_server_gives_a_time_to_retry(
    server: "FeedServer", headers: dict[str, str], pause: float | None, fetch: Fetch, bounds: FetchBounds
) -> None:
    url = server.answers("/week", 503, headers=headers)

    with pytest.raises(FeedUnavailable, match="/week answered 503") as unavailable:
        fetch(url, bounds)

    assert unavailable.value.retry_after == pause


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_token_in_the_address_of_a_feed_is_in_no_log(
    server: "FeedServer",
    week: bytes,
    fetch: Fetch,
    bounds: FetchBounds,
    style: Literal["text", "json"],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "level", logging.INFO)
    log_to_stderr("INFO", style)
    server.answers("/week?token=sesame", 200, week)

    fetch(server.url("/week?token=sesame"), bounds)

    logged = capsys.readouterr().err
    assert server.asked[0][0] == "/week?token=sesame"
    assert "/week?token=***" in logged
    assert "sesame" not in logged
