"""Tests that a fetch reaches no private address."""

import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from mousetrap.earthquakes import Feed, FeedRefused, FeedUnavailable
from mousetrap.fetch_data import FetchBounds

if TYPE_CHECKING:
    from components.mousetrap.fetch_data.conftest import FeedServer

Fetch = Callable[..., Feed]


class Names:
    """A resolver whose answers change from one question to the next, as a rebinding attacker's do."""

    def __init__(self, answers: dict[str, list[Sequence[str]]]) -> None:
        self.answers = answers
        self.questions: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.questions.append(host)
        return self.answers[host].pop(0)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::1]"],
)
def test_an_address_that_points_inward_is_refused_and_never_asked(
    server: "FeedServer", host: str, fetch: Fetch
) -> None:
    server.answers("/week", 200, b"{}")

    with pytest.raises(FeedRefused, match=r"points to a private network.*MOUSETRAP_FETCH_ALLOW"):
        fetch(server.url("/week", host), FetchBounds(allowed=frozenset({"elsewhere", "127.0.0.1:1"})))

    assert server.asked == []


def test_an_inward_address_is_allowed_by_host_or_by_host_and_port(
    server: "FeedServer", week: bytes, fetch: Fetch
) -> None:
    url = server.answers("/week", 200, week)

    for asked, allowed in (
        (url, "127.0.0.1"),
        (url, server.place),
        (server.url("/week", "LOCALHOST"), "LocalHost"),
    ):
        assert len(fetch(asked, FetchBounds(allowed=frozenset({allowed}))).events) == 1707


def test_a_redirect_is_followed(server: "FeedServer", week: bytes, fetch: Fetch, bounds: FetchBounds) -> None:
    server.answers("/week", 200, week)
    url = server.answers("/old", 302, b"moved", {"Location": "/week", "Set-Cookie": "tracked=yes; Path=/"})

    feed = fetch(url, bounds)

    assert len(feed.events) == 1707
    assert [path for path, _ in server.asked] == ["/old", "/week"]
    assert "Cookie" not in server.asked[1][1]


def test_a_redirect_that_points_inward_is_refused(server: "FeedServer", fetch: Fetch) -> None:
    server.answers("/week", 200, b"{}")
    url = server.answers("/old", 302, headers={"Location": server.url("/week", "localhost")})

    with pytest.raises(FeedRefused, match=r"localhost.* points to a private network"):
        fetch(url, FetchBounds(allowed=frozenset({server.place})))

    assert [path for path, _ in server.asked] == ["/old"]


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/passwd", "not an http or https address"),
        ("gopher://127.0.0.1/", "not an http or https address"),
        ("http://user:secret@127.0.0.1/", "carries a user name or a password"),
        ("http://[::ffff:a9fe:a9fe]/", "points to a private network"),
        ("http://[64:ff9b::a9fe:a9fe]/", "points to a private network"),
    ],
)
def test_a_redirect_to_no_fit_address_is_refused(
    server: "FeedServer", location: str, reason: str, fetch: Fetch, bounds: FetchBounds
) -> None:
    url = server.answers("/old", 302, headers={"Location": location})

    with pytest.raises(FeedRefused, match=reason) as refused:
        fetch(url, bounds)

    assert "secret" not in str(refused.value)


def test_redirects_without_end_are_refused(server: "FeedServer", fetch: Fetch, bounds: FetchBounds) -> None:
    url = server.answers("/round", 302, headers={"Location": "/round"})

    with pytest.raises(FeedRefused, match="redirects more than 3 times"):
        fetch(url, bounds)

    assert len(server.asked) == 4


def test_the_body_of_a_redirect_is_not_read(
    server: "FeedServer", week: bytes, fetch: Fetch, bounds: FetchBounds
) -> None:
    server.answers("/week", 200, week)
    url = server.answers("/old", 302, headers={"Location": "/week", "Content-Length": "999999999999"})

    assert len(fetch(url, bounds).events) == 1707


def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_judged(
    server: "FeedServer", week: bytes, fetch: Fetch
) -> None:
    # given a name that answers differently the second time it is asked
    server.answers("/week", 200, week)
    names = Names({"feed": [["127.0.0.1"], ["127.0.0.2"]]})

    feed = fetch(server.url("/week", "feed"), FetchBounds(allowed=frozenset({"feed"})), names.resolve)

    assert len(feed.events) == 1707
    assert names.questions == ["feed"]
    assert server.asked[0][1]["Host"] == f"feed:{server.server_port}"


def test_a_name_that_turns_inward_between_two_hops_is_refused(server: "FeedServer", fetch: Fetch) -> None:
    # given an allowed host that redirects to a name that points inward by now
    url = server.answers("/old", 302, headers={"Location": server.url("/week", "rebound")})
    names = Names({"127.0.0.1": [["127.0.0.1"]], "rebound": [["127.0.0.1"]]})

    with pytest.raises(FeedRefused, match=r"http://rebound:.* points to a private network"):
        fetch(url, FetchBounds(allowed=frozenset({"127.0.0.1"})), names.resolve)

    assert [path for path, _ in server.asked] == ["/old"]


def test_a_name_with_one_inward_address_among_public_ones_is_refused(fetch: Fetch) -> None:
    names = Names({"feed": [["1.1.1.1", "10.0.0.1"]]})

    with pytest.raises(FeedRefused, match="points to a private network"):
        fetch("http://feed/week", FetchBounds(), names.resolve)


def test_the_next_address_of_a_name_is_tried_when_one_does_not_answer(
    server: "FeedServer", week: bytes, fetch: Fetch
) -> None:
    # given a name whose first address refuses connections
    server.answers("/week", 200, week)
    names = Names({"feed": [["127.0.0.2", "127.0.0.1"]]})

    feed = fetch(server.url("/week", "feed"), FetchBounds(allowed=frozenset({"feed"})), names.resolve)

    assert len(feed.events) == 1707


def test_tls_asks_for_the_name_and_not_for_the_address(fetch: Fetch) -> None:
    # given a TLS server that notes the name it is asked for, and has no certificate to show
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(60)

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
        fetch(
            f"https://feed:{listener.getsockname()[1]}/week",
            FetchBounds(allowed=frozenset({"feed"})),
            names.resolve,
        )
    thread.join()

    assert asked == ["feed"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://user:secret@feed.example/", "http://feed.example/ carries a user name or a password"),
        ("http://secret@feed.example/", "carries a user name or a password"),
        ("http:///week?secret", "not an http or https address"),
        ("ftp://feed.example/?secret", "not an http or https address"),
        ("http://feed.example:secret/", "not a URL that can be read"),
        ("http://a..b/?secret", "has an invalid host"),
    ],
)
def test_an_address_that_is_none_is_refused_without_quoting_its_secrets(
    url: str, reason: str, fetch: Fetch, bounds: FetchBounds
) -> None:
    with pytest.raises(FeedRefused, match=reason) as refused:
        fetch(url, bounds)

    assert "secret" not in str(refused.value)
