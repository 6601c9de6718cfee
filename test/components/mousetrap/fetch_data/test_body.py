"""How much of a body is read, over real HTTP."""

import gzip
import itertools
import zlib
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mousetrap.earthquakes import Feed, FeedRefused, FeedUnavailable
from mousetrap.fetch_data import FetchBounds
from mousetrap.fetch_data.body import _Gunzip

if TYPE_CHECKING:
    from components.mousetrap.fetch_data.conftest import FeedServer

Fetch = Callable[..., Feed]

_PACKED = {"Content-Encoding": "gzip"}
_MANY = 50_000_000


def test_a_body_that_announces_too_much_is_refused_unread(
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
    url = server.answers("/week", 200, gzip.compress(week) + b"secret", headers=_PACKED)
    members = server.answers("/members", 200, gzip.compress(b"") * 10_001, headers=_PACKED)

    with pytest.raises(FeedRefused, match="more after the end of its gzip stream"):
        fetch(url, bounds)
    with pytest.raises(FeedRefused, match="more than 10,000 members"):
        fetch(members, bounds)


@pytest.mark.parametrize("size", [1, 2, 7, 1000, 100_000])
@pytest.mark.parametrize("padding", [0, 1, 511, 200_000])
def test_a_feed_packed_in_many_members_and_padded_with_zeros_is_read(
    server: "FeedServer", week: bytes, fetch: Fetch, bounds: FetchBounds, size: int, padding: int
) -> None:
    parts = [week[:size], b"", *(week[start : start + 100_000] for start in range(size, len(week), 100_000))]
    url = server.answers("/week", 200, b"".join(map(gzip.compress, parts)) + b"\0" * padding, headers=_PACKED)

    assert len(fetch(url, bounds).events) == 1707


@given(
    texts=st.lists(st.binary(max_size=40), min_size=1, max_size=5),
    padding=st.integers(0, 9),
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=30),
)
def test_members_are_unpacked_wherever_the_network_cuts_them(
    texts: list[bytes], padding: int, cuts: list[int]
) -> None:
    packed, unpack, unpacked = b"".join(map(gzip.compress, texts)) + b"\0" * padding, _Gunzip("here"), b""
    for cut in itertools.cycle(cuts):
        unpacked += unpack.feed(packed[:cut], 1000)
        if not (packed := packed[cut:]):
            break
    unpack.finish()

    assert unpacked == b"".join(texts)


def test_a_bomb_behind_a_member_that_fills_the_room_is_not_unpacked() -> None:
    body = gzip.compress(b" " * 100) + gzip.compress(b" " * _MANY)

    assert len(_Gunzip("here").feed(body, 100)) == 100
    assert len(_Gunzip("here").feed(body, 150)) == 150


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

    with pytest.raises(FeedRefused, match="labels its response gzip, but it is not"):
        fetch(plain, bounds)
    with pytest.raises(FeedUnavailable, match="in the middle of a gzip stream"):
        fetch(cut, bounds)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_body_without_a_length_that_is_cut_off_is_tried_again(
    server: "FeedServer", week: bytes, fetch: Fetch, bounds: FetchBounds, share: float
) -> None:
    def cut_off(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(200)
        handler.end_headers()
        handler.wfile.write(week[: int(len(week) * share)])

    server.routes["/week"] = cut_off

    with pytest.raises(FeedUnavailable, match="an empty page" if not share else "in the middle"):
        fetch(server.url("/week"), bounds)
