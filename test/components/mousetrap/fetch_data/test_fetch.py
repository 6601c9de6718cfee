"""A fetch over real HTTP: what it brings, and at which bound it stops."""

import asyncio
import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from mousetrap.earthquakes import Feed, FeedRefused, FeedRequest, FeedUnavailable
from mousetrap.fetch_data import FetchBounds, fetch_data, open_fetcher

if TYPE_CHECKING:
    from components.mousetrap.fetch_data.conftest import FeedServer

_MANY = 50_000_000
_PACKED = {"Content-Encoding": "gzip"}
#: The defaults, with the test's own server allowed.
_BOUNDS = FetchBounds(allowed=frozenset({"127.0.0.1"}))


def _fetch(url: str, bounds: FetchBounds = _BOUNDS) -> Feed:
    async def fetch() -> Feed:
        async with open_fetcher(bounds) as fetcher:
            return await fetch_data(FeedRequest(url), fetcher)

    return asyncio.run(fetch())


class Names:
    """A resolver whose answers change from one question to the next, as a rebinding attacker's do."""

    def __init__(self, answers: dict[str, list[Sequence[str]]]) -> None:
        self.answers = answers
        self.questions: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.questions.append(host)
        return self.answers[host].pop(0)

    def fetch(self, url: str, *allowed: str) -> Feed:
        async def fetch() -> Feed:
            bounds = FetchBounds(allowed=frozenset(allowed))
            async with open_fetcher(bounds, self.resolve) as fetcher:
                return await fetch_data(FeedRequest(url), fetcher)

        return asyncio.run(fetch())


def test_a_real_week_of_earthquakes_is_brought(server: "FeedServer", week: bytes) -> None:
    url = server.answers("/week", 200, week)

    feed = _fetch(url)

    assert len(feed.events) == 1707


def test_a_packed_feed_is_asked_for_and_unpacked(server: "FeedServer", week: bytes) -> None:
    url = server.answers("/week", 200, gzip.compress(week), headers=_PACKED)

    feed = _fetch(url)

    assert len(feed.events) == 1707
    assert server.asked[0][1]["Accept-Encoding"] == "gzip"


def test_a_fetcher_serves_several_fetches_at_once_and_tells_their_progress(
    server: "FeedServer", week: bytes
) -> None:
    url = server.answers("/week", 200, week)
    told: list[tuple[int, int | None]] = []

    async def fetch_three() -> list[Feed]:
        async with open_fetcher(FetchBounds(allowed=frozenset({server.place}))) as fetcher:
            return await asyncio.gather(
                *(fetch_data(FeedRequest(url), fetcher, lambda *now: told.append(now)) for _ in range(3))
            )

    feeds = asyncio.run(fetch_three())

    assert [len(feed.events) for feed in feeds] == [1707] * 3
    assert told.count((len(week), len(week))) == 3
    assert all(0 < received <= len(week) for received, _ in told)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]"],
)
def test_an_address_that_points_inward_is_refused_and_never_asked(server: "FeedServer", host: str) -> None:
    server.answers("/week", 200, b"{}")

    with pytest.raises(FeedRefused, match="points into our own network"):
        _fetch(
            server.url("/week?key=secret", host), FetchBounds(allowed=frozenset({"elsewhere", "127.0.0.1:1"}))
        )

    assert server.asked == []


def test_an_inward_address_is_allowed_by_host_or_by_host_and_port(server: "FeedServer", week: bytes) -> None:
    url = server.answers("/week", 200, week)

    assert _fetch(url, FetchBounds(allowed=frozenset({"127.0.0.1"})))
    assert _fetch(url, FetchBounds(allowed=frozenset({server.place})))
    assert _fetch(server.url("/week", "LOCALHOST"), FetchBounds(allowed=frozenset({"LocalHost"})))


def test_a_redirect_is_followed(server: "FeedServer", week: bytes) -> None:
    server.answers("/week", 200, week)
    url = server.answers("/old", 302, b"moved", {"Location": "/week", "Set-Cookie": "tracked=yes; Path=/"})

    feed = _fetch(url)

    assert len(feed.events) == 1707
    assert [path for path, _ in server.asked] == ["/old", "/week"]
    assert "Cookie" not in server.asked[1][1]


def test_a_redirect_that_points_inward_is_refused(server: "FeedServer") -> None:
    server.answers("/week", 200, b"{}")
    url = server.answers("/old", 302, headers={"Location": server.url("/week", "localhost")})

    with pytest.raises(FeedRefused, match=r"localhost.* points into our own network"):
        _fetch(url, FetchBounds(allowed=frozenset({server.place})))

    assert [path for path, _ in server.asked] == ["/old"]


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("file:///etc/passwd", "not an http or https address"),
        ("gopher://127.0.0.1/", "not an http or https address"),
        ("http://user:secret@127.0.0.1/", "carries a user name or a password"),
        ("http://[::ffff:a9fe:a9fe]/", "points into our own network"),
        ("http://[64:ff9b::a9fe:a9fe]/", "points into our own network"),
    ],
)
def test_a_redirect_to_no_fit_address_is_refused(server: "FeedServer", location: str, told: str) -> None:
    url = server.answers("/old", 302, headers={"Location": location})

    with pytest.raises(FeedRefused, match=told) as refused:
        _fetch(url)

    assert "secret" not in str(refused.value)


def test_redirects_without_end_are_refused(server: "FeedServer") -> None:
    url = server.answers("/round", 302, headers={"Location": "/round"})

    with pytest.raises(FeedRefused, match="redirects more than 3 times"):
        _fetch(url)

    assert len(server.asked) == 4


def test_the_body_of_a_redirect_is_not_read(server: "FeedServer", week: bytes) -> None:
    server.answers("/week", 200, week)
    url = server.answers("/old", 302, headers={"Location": "/week", "Content-Length": "999999999999"})

    assert len(_fetch(url).events) == 1707


def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_judged(
    server: "FeedServer", week: bytes
) -> None:
    # given a name that answers differently the second time it is asked
    server.answers("/week", 200, week)
    names = Names({"feed": [["127.0.0.1"], ["127.0.0.2"]]})

    feed = names.fetch(server.url("/week", "feed"), "feed")

    assert len(feed.events) == 1707
    assert names.questions == ["feed"]
    assert server.asked[0][1]["Host"] == f"feed:{server.server_port}"


def test_a_name_that_turns_inward_between_two_hops_is_refused(server: "FeedServer") -> None:
    # given an allowed host that redirects to a name which was public a moment ago
    url = server.answers("/old", 302, headers={"Location": server.url("/week", "rebound")})
    names = Names({"127.0.0.1": [["127.0.0.1"]], "rebound": [["127.0.0.1"]]})

    with pytest.raises(FeedRefused, match=r"http://rebound:.* points into our own network"):
        names.fetch(url, "127.0.0.1")

    assert [path for path, _ in server.asked] == ["/old"]


def test_a_name_with_one_inward_address_among_public_ones_is_refused() -> None:
    names = Names({"feed": [["1.1.1.1", "10.0.0.1"]]})

    with pytest.raises(FeedRefused, match="points into our own network"):
        names.fetch("http://feed/week")


def test_the_next_address_of_a_name_is_tried_when_one_does_not_answer(
    server: "FeedServer", week: bytes
) -> None:
    # given a name whose first address has nobody listening
    server.answers("/week", 200, week)
    names = Names({"feed": [["127.0.0.2", "127.0.0.1"]]})

    assert len(names.fetch(server.url("/week", "feed"), "feed").events) == 1707


def test_tls_asks_for_the_name_and_not_for_the_address() -> None:
    # given a TLS server that notes the name it is asked for, and has no certificate to show
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        try:
            context.wrap_socket(connection, server_side=True).close()
        except (ssl.SSLError, OSError):
            connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    names = Names({"feed": [["127.0.0.1"]]})

    with listener, pytest.raises(FeedUnavailable, match=r"https://feed:.* cannot be reached"):
        names.fetch(f"https://feed:{listener.getsockname()[1]}/week", "feed")
    thread.join()

    assert asked == ["feed"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://user:secret@feed.example/", "http://feed.example/ carries a user name or a password"),
        ("http://secret@feed.example/", "carries a user name or a password"),
        ("http:///week?secret", "not an http or https address"),
        ("ftp://feed.example/?secret", "not an http or https address"),
        ("http://feed.example:secret/", "not a URL that can be read"),
        ("http://a..b/?secret", "has a host that no name can be"),
    ],
)
def test_an_address_that_is_none_is_refused_without_quoting_its_secrets(url: str, told: str) -> None:
    with pytest.raises(FeedRefused, match=told) as refused:
        _fetch(url)

    assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/week?key=secret"

    with pytest.raises(FeedUnavailable, match=r"http://127.0.0.1:\d+/week cannot be reached"):
        _fetch(url)


def test_a_server_that_does_not_speak_http_is_unavailable_and_not_quoted(server: "FeedServer") -> None:
    def chat(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"220 secret greeting\r\n")

    server.routes["/week"] = chat

    with pytest.raises(FeedUnavailable, match="does not speak HTTP") as unavailable:
        _fetch(server.url("/week"))

    assert "secret" not in str(unavailable.value)


def test_a_body_that_trickles_ends_at_the_time_bound(server: "FeedServer", week: bytes) -> None:
    # given a server that sends all but the end, and holds
    release = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(200)
        handler.send_header("Content-Length", str(len(week)))
        handler.end_headers()
        handler.wfile.write(week[:1000])
        release.wait(timeout=30)

    server.routes["/week"] = trickle

    try:
        with pytest.raises(FeedUnavailable, match=r"has not answered in full within 0\.2 s"):
            _fetch(server.url("/week"), replace(_BOUNDS, total=0.2))
    finally:
        release.set()


def test_a_body_that_ends_too_soon_is_unavailable(server: "FeedServer", week: bytes) -> None:
    url = server.answers("/week", 200, week[:1000], headers={"Content-Length": str(len(week))})

    with pytest.raises(FeedUnavailable, match="broke off"):
        _fetch(url)


def test_a_body_that_says_it_is_too_large_is_refused_unread(server: "FeedServer") -> None:
    url = server.answers("/week", 200, b"", headers={"Content-Length": "1001"})

    with pytest.raises(FeedRefused, match="larger than the 1,000 bytes"):
        _fetch(url, replace(_BOUNDS, max_bytes=1000))


def test_a_body_that_turns_out_too_large_is_refused(server: "FeedServer") -> None:
    def stream(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(200)
        handler.end_headers()
        while True:  # until the client hangs up
            handler.wfile.write(b" " * 65_536)

    server.routes["/week"] = stream

    with pytest.raises(FeedRefused, match="larger than the 1,000,000 bytes"):
        _fetch(server.url("/week"), replace(_BOUNDS, max_bytes=1_000_000))


def test_a_body_of_exactly_the_bound_is_read(server: "FeedServer", week: bytes) -> None:
    plain = server.answers("/plain", 200, week)
    packed = server.answers("/packed", 200, gzip.compress(week), headers=_PACKED)

    assert len(_fetch(plain, replace(_BOUNDS, max_bytes=len(week))).events) == 1707
    assert len(_fetch(packed, replace(_BOUNDS, max_bytes=len(week))).events) == 1707
    with pytest.raises(FeedRefused, match="larger than"):
        _fetch(packed, replace(_BOUNDS, max_bytes=len(week) - 1))


def test_a_bomb_is_refused(server: "FeedServer") -> None:
    url = server.answers("/week", 200, gzip.compress(b" " * _MANY), headers=_PACKED)

    with pytest.raises(FeedRefused, match="more than 100 times its size"):
        _fetch(url, replace(_BOUNDS, max_bytes=_MANY))
    with pytest.raises(FeedRefused, match="larger than"):
        _fetch(url, replace(_BOUNDS, max_ratio=2000))


def test_an_endless_tail_behind_a_packed_feed_is_refused(server: "FeedServer", week: bytes) -> None:
    url = server.answers("/week", 200, gzip.compress(week) + b"\0" * 1000, headers=_PACKED)

    with pytest.raises(FeedRefused, match="more after the end of its gzip stream"):
        _fetch(url)


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "secret"])
def test_an_encoding_that_was_not_asked_for_is_refused(server: "FeedServer", encoding: str) -> None:
    url = server.answers("/week", 200, zlib.compress(b"{}"), headers={"Content-Encoding": encoding})

    with pytest.raises(FeedRefused, match="only gzip is read") as refused:
        _fetch(url)

    assert "secret" not in str(refused.value)


def test_a_packed_body_that_is_none_or_ends_too_soon_fails(server: "FeedServer", week: bytes) -> None:
    plain = server.answers("/plain", 200, week, headers=_PACKED)
    cut = server.answers("/cut", 200, gzip.compress(week)[:-100], headers=_PACKED)

    with pytest.raises(FeedRefused, match="says that its answer is gzip, but it is not"):
        _fetch(plain)
    with pytest.raises(FeedUnavailable, match="in the middle of a gzip stream"):
        _fetch(cut)


@pytest.mark.parametrize(("body", "told"), [(b"<html>", "not JSON"), (b'{"a": 1}', "not a GeoJSON feed")])
def test_a_body_that_is_no_feed_is_refused(server: "FeedServer", body: bytes, told: str) -> None:
    url = server.answers("/week", 200, body)

    with pytest.raises(FeedRefused, match=rf"/week is {told}"):
        _fetch(url)


def test_a_feed_that_is_not_there_is_refused(server: "FeedServer") -> None:
    url = server.answers("/week", 404, b"secret")

    with pytest.raises(FeedRefused, match="/week answered 404") as refused:
        _fetch(url)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Wed, 07 Feb 2018 01:50:14 GMT", "Date": "Wed, 07 Feb 2018 01:49:14 GMT"}, 60.0),
        ({}, None),
    ],
)
def test_a_server_that_is_busy_says_when_to_come_back(
    server: "FeedServer", headers: dict[str, str], pause: float | None
) -> None:
    url = server.answers("/week", 503, headers=headers)

    with pytest.raises(FeedUnavailable, match="/week answered 503") as unavailable:
        _fetch(url)

    assert unavailable.value.retry_after == pause
