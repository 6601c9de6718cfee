"""Serves feeds over HTTP on loopback."""

import asyncio
import gzip
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import pytest

from mousetrap.earthquakes import Feed, FeedRequest
from mousetrap.fetch_data import FetchBounds, fetch_data, open_fetcher
from mousetrap.fetch_data.guard import Resolve, resolve

WEEK = (
    Path(__file__).parents[4]
    / "components"
    / "mousetrap"
    / "earthquakes_sample"
    / "earthquakes-week.geojson.gz"
)


class FeedServer(ThreadingHTTPServer):
    """Answers each path by its route, and keeps the headers of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.routes: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def place(self) -> str:
        """The server's host and port, as `FetchBounds.allowed` takes them."""
        return f"127.0.0.1:{self.server_port}"

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}{path}"

    def answers(
        self, path: str, status: int, body: bytes = b"", headers: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        """Makes `path` answer so, and gives its address."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response_only(status)
            for name, value in ({"Content-Length": str(len(body))} | dict(headers)).items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)

        self.routes[path] = answer
        return self.url(path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, FeedServer)
        self.server.asked.append((self.path, dict(self.headers)))
        self.close_connection = True
        try:
            self.server.routes[self.path](self)
        except (BrokenPipeError, ConnectionResetError):
            """The client has left, as a refused answer makes it do."""

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing."""


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def week() -> bytes:
    """One real week of earthquakes, as the feed served it."""
    return gzip.decompress(WEEK.read_bytes())


@pytest.fixture
def bounds() -> FetchBounds:
    """The defaults, with the tests' own server allowed."""
    return FetchBounds(allowed=frozenset({"127.0.0.1"}))


@pytest.fixture
def fetch() -> Callable[..., Feed]:
    """Fetches one feed, as a worker would, and waits for it."""

    async def fetch_one(url: str, bounds: FetchBounds, resolve: Resolve) -> Feed:
        async with open_fetcher(bounds, resolve) as fetcher:
            return await fetch_data(FeedRequest(url), fetcher)

    def fetch(url: str, bounds: FetchBounds, resolve: Resolve = resolve) -> Feed:
        return asyncio.run(fetch_one(url, bounds, resolve))

    return fetch
