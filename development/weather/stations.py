"""Serves the stations' files on this machine, as their hosts would.

Hourly and daily temperatures of the U.S. National Oceanic and Atmospheric Administration, which are in the public domain.
"""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(__file__).parent / "files"


def names() -> list[str]:
    """The files, as "seattle-days-2012.csv"."""
    return sorted(file.stem for file in FOLDER.glob("*.csv.gz"))


def text_of(name: str) -> str:
    """What is in a file."""
    return gzip.decompress((FOLDER / f"{name}.gz").read_bytes()).decode()


@contextmanager
def served() -> Iterator[list[str]]:
    """The addresses of all files, while they are served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), name="stations", daemon=True).start()
        try:
            yield [f"http://127.0.0.1:{server.server_port}/{name}" for name in names()]
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        if name not in names():
            self.send_error(404)
            return
        body = text_of(name).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/csv; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: the worker that fetches logs what matters."""
