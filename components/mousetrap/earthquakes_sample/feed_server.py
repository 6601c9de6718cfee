"""Serves the week of earthquakes over HTTP, compressed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources

_PATH = "/earthquakes-week.geojson"


def packed_week() -> bytes:
    """The week as GeoJSON in gzip."""
    return (
        resources.files("mousetrap.earthquakes_sample").joinpath("earthquakes-week.geojson.gz").read_bytes()
    )


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


def _server(port: int) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    except (OSError, OverflowError):
        return ThreadingHTTPServer(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != _PATH:
            self.send_error(404)
            return
        packed = packed_week()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(packed)))
        self.end_headers()
        self.wfile.write(packed)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: the worker that fetches logs what matters."""
