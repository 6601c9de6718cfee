"""Serves a worker's health over HTTP, from a thread of its own."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mousetrap.serve_worker.vitals import Vitals
from mousetrap.settings import SettingsWrong
from mousetrap.shutdown import close_in_forks, keep_in_forks

#: A page: its media type, and what makes its text, in the thread of a request.
Page = tuple[str, Callable[[], bytes]]


@contextmanager
def serve_health(host: str, port: int, vitals: Vitals, metrics: Page | None = None) -> Iterator[str]:
    """Serves in this block, at the address that it yields; `metrics` at `/metrics`.

    Raises SettingsWrong when it cannot listen there.
    """
    try:
        server = (_Server6 if ":" in host else _Server)((host, port), _Handler)
    except OSError as error:
        raise SettingsWrong(
            f"MOUSETRAP_HEALTH_PORT: cannot listen on {host}:{port} ({error.strerror}): choose another, or 0 for a free "
            "one, or another MOUSETRAP_HEALTH_HOST"
        ) from None
    server.checks = {
        "/health/live": ("live", vitals.why_not_live),
        "/health/ready": ("ready", vitals.why_not_ready),
    }
    server.pages = {"/metrics": metrics} if metrics else {}
    with server:
        close_in_forks(server.fileno())  # it would keep the port after the worker's end
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}"
        finally:
            server.shutdown()
            keep_in_forks(server.fileno())


class _Server(ThreadingHTTPServer):
    #: By path: the good status, and the check that returns the reason for a bad one.
    checks: Mapping[str, tuple[str, Callable[[], str | None]]]
    pages: Mapping[str, Page]
    block_on_close = False  # a slow client must not keep the worker from ending


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5.0  # seconds for a client to send its request
    server_version, sys_version = "mousetrap", ""

    def do_GET(self) -> None:
        """Answers a request; the standard library gives the name."""
        path = self.path.partition("?")[0]
        if (page := self.server.pages.get(path)) is not None:
            return self._send(200, page[0], page[1]())
        check = self.server.checks.get(path)
        if check is None:
            paths = [*self.server.checks, *self.server.pages]
            return self._answer(404, {"status": "no such path", "paths": paths})
        good, why_not = check
        if (reason := why_not()) is not None:
            return self._answer(503, {"status": f"not {good}", "reason": reason})
        return self._answer(200, {"status": good})

    def _answer(self, status: int, members: Mapping[str, object]) -> None:
        self._send(status, "application/json", json.dumps(members).encode() + b"\n")

    def _send(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing: a supervisor asks every few seconds."""
