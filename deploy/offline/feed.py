"""Serves the week of earthquakes that the command line brings to the containers of an offline stack, until told to stop."""

import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources

WEEK = resources.files("mousetrap.cli").joinpath("earthquakes-week.geojson.gz").read_bytes()


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # with the usual 5, a burst of workers' requests meets pauses of a second


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Whatever is asked for: a health check is content with it too."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(WEEK)))
        self.end_headers()
        self.wfile.write(WEEK)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the worker that fetches says what matters."""


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with Server(("0.0.0.0", 8000), Handler) as server:
    server.serve_forever()
