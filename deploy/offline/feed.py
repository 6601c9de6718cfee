"""Serves the week of earthquakes to the containers of an offline stack."""

import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mousetrap.earthquakes_sample import packed_week

WEEK = packed_week()


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # with the usual 5, a burst of workers' requests meets pauses of a second


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """The week at every path, also for the health check."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(WEEK)))
        self.end_headers()
        self.wfile.write(WEEK)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: the worker that fetches logs what matters."""


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with Server(("0.0.0.0", 8000), Handler) as server:
    server.serve_forever()
