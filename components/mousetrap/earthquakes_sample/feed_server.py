"""Serves the week of earthquakes and its days over HTTP, compressed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin

from mousetrap.earthquakes_sample.days import packed_days, packed_week

_PATH = "/earthquakes-week.geojson"


@contextmanager
def served_week(port: int = 0) -> Iterator[str]:
    """The feed's address on the loopback interface: at `port`, or at a free port if that one is taken."""
    with _server(port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="feed", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{_PATH}"
        finally:
            server.shutdown()
            thread.join()


def day_addresses(week: str) -> tuple[str, ...]:
    """The feeds of the week's days, earliest first, beside the address of the week."""
    return tuple(urljoin(week, _day_path(day)) for day in packed_days())


def _day_path(day: str) -> str:
    return f"/earthquakes-{day}.geojson"


def _packed_at(path: str) -> bytes | None:
    if path == _PATH:
        return packed_week()
    return {_day_path(day): packed for day, packed in packed_days().items()}.get(path)


def _server(port: int) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    except (OSError, OverflowError):
        return ThreadingHTTPServer(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        packed = _packed_at(self.path)
        if packed is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(packed)))
        self.end_headers()
        self.wfile.write(packed)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: the worker that fetches logs what matters."""
