"""A server that gives a list of replies."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

#: Gives these answers (status and body) in turn; yields the address, and the Last-Event-ID of each request so far.
Serving = Callable[..., AbstractContextManager[tuple[str, list[str | None]]]]


@pytest.fixture
def serving() -> Serving:
    return _serving


@contextmanager
def _serving(*answers: tuple[int, str]) -> Iterator[tuple[str, list[str | None]]]:
    """A server that gives these answers in turn and then cuts; its address, and the places it was asked for."""
    waiting = list(answers)
    asked: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Last-Event-ID"])
            status, body = waiting.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
