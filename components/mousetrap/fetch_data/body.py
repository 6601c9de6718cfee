"""Reads a response's body, up to a limit."""

import zlib
from collections.abc import Callable

import httpx

from mousetrap.earthquakes import FeedRefused, FeedUnavailable
from mousetrap.fetch_data.bounds import FetchBounds
from mousetrap.fetch_data.guard import shown

#: Called with the bytes received so far and their total, if the server sent it.
Progress = Callable[[int, int | None], None]

#: Bytes; below this the ratio is not checked, since a short repetitive text compresses very well.
_UNCHECKED_BYTES = 1024 * 1024
#: Members of a gzip stream: each costs a copy of what follows it in its chunk.
_MAX_MEMBERS = 10_000


async def read_body(response: httpx.Response, bounds: FetchBounds, progress: Progress | None) -> bytes:
    """The whole body, unpacked.

    Raises FeedRefused when it is too large, a compression bomb, or compressed in a way that was not requested; FeedUnavailable
    when it ends too soon.
    """
    total = _announced(response)
    if total is not None and total > bounds.max_bytes:
        raise _too_large(response, bounds)
    unpack = _unpacker(response)
    body, received = bytearray(), 0
    async for chunk in response.aiter_raw():
        received += len(chunk)
        limit = min(bounds.max_bytes, max(_UNCHECKED_BYTES, received * bounds.max_ratio))
        # One byte past the limit is enough to see it broken; the rest is never unpacked.
        body += unpack.feed(chunk, limit - len(body) + 1)
        if received > bounds.max_bytes or len(body) > bounds.max_bytes:
            raise _too_large(response, bounds)
        if len(body) > limit:
            raise FeedRefused(
                f"{shown(response.request.url)} unpacks to more than {bounds.max_ratio} times its size: "
                "it looks like a compression bomb"
            )
        if progress:
            progress(received, total)
    unpack.finish()
    return bytes(body)


class _Plain:
    """Takes bytes as they are."""

    def feed(self, chunk: bytes, room: int) -> bytes:
        return chunk

    def finish(self) -> None:
        """Nothing is left to check: the HTTP layer has checked the length."""


class _Gunzip:
    """Unpacks gzip, never more than there is room for: one member after another, zeros behind the last (RFC 1952, 2.2)."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._stream = _gunzip()
        self._members = 1

    def feed(self, chunk: bytes, room: int) -> bytes:
        unpacked = bytearray()
        while chunk and len(unpacked) < room:
            if self._stream.eof:
                if not (chunk := chunk.lstrip(b"\0")):
                    break
                self._begin_member()
            try:
                unpacked += self._stream.decompress(chunk, room - len(unpacked))
            except zlib.error:
                raise self._no_gzip() from None
            if not self._stream.eof:  # all of it is used, or there is no more room
                break
            chunk = self._stream.unused_data
        return bytes(unpacked)

    def finish(self) -> None:
        if not self._stream.eof:
            raise FeedUnavailable(f"{self._where} ended its response in the middle of a gzip stream")

    def _begin_member(self) -> None:
        self._stream = _gunzip()
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise FeedRefused(f"{self._where} sends a gzip stream of more than {_MAX_MEMBERS:,} members")

    def _no_gzip(self) -> FeedRefused:
        if self._members > 1:
            return FeedRefused(f"{self._where} sends more after the end of its gzip stream")
        return FeedRefused(f"{self._where} labels its response gzip, but it is not")


def _gunzip() -> "zlib._Decompress":
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


def _unpacker(response: httpx.Response) -> _Plain | _Gunzip:
    match response.headers.get("Content-Encoding", "identity").strip().lower():
        case "identity" | "":
            return _Plain()
        case "gzip" | "x-gzip":
            return _Gunzip(shown(response.request.url))
        case _:
            raise FeedRefused(
                f"{shown(response.request.url)} compresses its response in a way that was not requested: "
                "only gzip is read"
            )


def _announced(response: httpx.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdecimal() else None


def _too_large(response: httpx.Response, bounds: FetchBounds) -> FeedRefused:
    return FeedRefused(
        f"{shown(response.request.url)} is larger than the {bounds.max_bytes:,} bytes that are read"
    )
