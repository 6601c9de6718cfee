"""Serves style sheet, scripts and icons under addresses that never change."""

import gzip
import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}
_FOREVER = "public, max-age=31536000, immutable"


class StaticFiles:
    """The files of a folder of the package."""

    def __init__(self) -> None:
        found = dict(_walk(files("mousetrap.dashboard") / "static", ""))
        #: By name: the bytes, and the same compressed.
        self._files = {name: (raw, gzip.compress(raw, mtime=0)) for name, raw in sorted(found.items())}
        digest = hashlib.sha256(b"".join(name.encode() + raw for name, (raw, _) in self._files.items()))
        #: The part of the address that changes with the content.
        self.version = digest.hexdigest()[:12]

    async def serve(self, request: Request) -> Response:
        """The file that the path names."""
        name = request.path_params["name"]
        if name not in self._files:
            return Response("there is no such file", 404, media_type="text/plain")
        raw, compressed = self._files[name]
        packed = "gzip" in request.headers.get("accept-encoding", "")
        kind = _KINDS.get(f".{name.rpartition('.')[2]}", "application/octet-stream")
        headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
        if packed:
            headers["Content-Encoding"] = "gzip"
        return Response(compressed if packed else raw, 200, headers, media_type=kind)


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif not entry.name.startswith((".", "__")):
            yield prefix + entry.name, entry.read_bytes()
