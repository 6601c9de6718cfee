"""How much of a body is read, over real HTTP."""

import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from mousetrap.earthquakes import Feed, FeedRefused, FeedUnavailable
from mousetrap.fetch_data import FetchBounds

if TYPE_CHECKING:
    from components.mousetrap.fetch_data.conftest import FeedServer

Fetch = Callable[..., Feed]

_PACKED = {"Content-Encoding": "gzip"}
_MANY = 50_000_000


def test_a_body_that_says_it_is_too_large_is_refused_unread(
    server: "FeedServer", fetch: Fetch, bounds: FetchBounds
) -> None:
    url = server.answers("/week", 200, b"", headers={"Content-Length": "1001"})

    with pytest.raises(FeedRefused, match="larger than the 1,000 bytes"):
        fetch(url, replace(bounds, max_bytes=1000))


def test_a_body_that_turns_out_too_large_is_refused(
    server: "FeedServer", fetch: Fetch, bounds: FetchBounds
) -> None:
    def stream(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(200)
        handler.end_headers()
        while True:  # until the client hangs up
            handler.wfile.write(b" " * 65_536)

    server.routes["/week"] = stream

    with pytest.raises(FeedRefused, match="larger than the 1,000,000 bytes"):
        fetch(server.url("/week"), replace(bounds, max_bytes=1_000_000))


def test_a_body_of_exactly_the_bound_is_read(
    server: "FeedServer", week: bytes, fetch: Fetch, bounds: FetchBounds
) -> None:
    plain = server.answers("/plain", 200, week)
    packed = server.answers("/packed", 200, gzip.compress(week), headers=_PACKED)

    assert len(fetch(plain, replace(bounds, max_bytes=len(week))).events) == 1707
    assert len(fetch(packed, replace(bounds, max_bytes=len(week))).events) == 1707
    with pytest.raises(FeedRefused, match="larger than"):
        fetch(packed, replace(bounds, max_bytes=len(week) - 1))


def test_a_bomb_is_refused(server: "FeedServer", fetch: Fetch, bounds: FetchBounds) -> None:
    url = server.answers("/week", 200, gzip.compress(b" " * _MANY), headers=_PACKED)

    with pytest.raises(FeedRefused, match="more than 100 times its size"):
        fetch(url, replace(bounds, max_bytes=_MANY))
    with pytest.raises(FeedRefused, match="larger than"):
        fetch(url, replace(bounds, max_ratio=2000))


def test_an_endless_tail_behind_a_packed_feed_is_refused(
    server: "FeedServer", week: bytes, fetch: Fetch, bounds: FetchBounds
) -> None:
    url = server.answers("/week", 200, gzip.compress(week) + b"\0" * 1000, headers=_PACKED)

    with pytest.raises(FeedRefused, match="more after the end of its gzip stream"):
        fetch(url, bounds)


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "secret"])
def test_an_encoding_that_was_not_asked_for_is_refused(
    server: "FeedServer", encoding: str, fetch: Fetch, bounds: FetchBounds
) -> None:
    url = server.answers("/week", 200, zlib.compress(b"{}"), headers={"Content-Encoding": encoding})

    with pytest.raises(FeedRefused, match="only gzip is read") as refused:
        fetch(url, bounds)

    assert "secret" not in str(refused.value)


def test_a_packed_body_that_is_none_or_ends_too_soon_fails(
    server: "FeedServer", week: bytes, fetch: Fetch, bounds: FetchBounds
) -> None:
    plain = server.answers("/plain", 200, week, headers=_PACKED)
    cut = server.answers("/cut", 200, gzip.compress(week)[:-100], headers=_PACKED)

    with pytest.raises(FeedRefused, match="says that its answer is gzip, but it is not"):
        fetch(plain, bounds)
    with pytest.raises(FeedUnavailable, match="in the middle of a gzip stream"):
        fetch(cut, bounds)
