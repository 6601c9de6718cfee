"""Serves a feed that a test can hold back and count."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mousetrap.earthquakes_sample import packed_week


class Feed:
    """Answers each request with the same feed, as soon as it is not held back."""

    def __init__(self, packed: bytes) -> None:
        self.packed = packed
        self.port = 0
        self._open = threading.Event()
        self._open.set()
        self._asked = threading.Condition()
        self._requests = 0

    @property
    def place(self) -> str:
        """What MOUSETRAP_FETCH_ALLOW must name."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.place}/feed.geojson"

    @property
    def requests(self) -> int:
        """How often it was asked for."""
        with self._asked:
            return self._requests

    def hold(self) -> None:
        """No request from now on gets an answer before the release."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def wait_for_requests(self, count: int, seconds: float = 60.0) -> None:
        """Returns once it was asked for so often."""
        with self._asked:
            came = self._asked.wait_for(lambda: self._requests >= count, seconds)
            assert came, f"after {seconds:g} s {self._requests} requests of {count}"

    def arrive(self) -> None:
        """A request has come, and may be answered when this returns."""
        with self._asked:
            self._requests += 1
            self._asked.notify_all()
        self._open.wait()


@contextmanager
def served(packed: bytes) -> Iterator[Feed]:
    """A feed of these bytes, which are gzip; it ends with the block."""
    feed = Feed(packed)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            feed.arrive()
            with suppress(OSError):  # who asked may be dead by now
                self.send_response(200)
                self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(packed)))
                self.end_headers()
                self.wfile.write(packed)

        def log_message(self, *_: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        feed.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="feed")
        thread.start()
        try:
            yield feed
        finally:
            feed.release()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # with the usual 5, a burst of workers' requests meets pauses of a second


def the_week() -> bytes:
    """A real week of earthquakes."""
    return packed_week()


def one_event() -> bytes:
    """The smallest feed that has an earthquake, for tests that are about delivery and not about bytes."""
    event = {
        "id": "e1",
        "properties": {"time": 1, "type": "earthquake", "mag": 4.2, "place": "10 km N of Somewhere"},
        "geometry": {"coordinates": [10.0, 20.0, 5.0]},
    }
    feed = {"type": "FeatureCollection", "metadata": {"title": "One", "generated": 1}, "features": [event]}
    return gzip.compress(json.dumps(feed).encode())
