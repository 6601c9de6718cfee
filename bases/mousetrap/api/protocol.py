"""Bounds a connection's head, pipelined requests, time and number."""

import asyncio
import logging
import resource
import time
from http import HTTPStatus
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mousetrap.api.middleware import OF_DATA
from mousetrap.api.problems import Kind, Problem, respond
from mousetrap.settings import Settings

#: Bytes of a request's head, or of anything else that is no body: chunk extensions, trailers.
MAX_HEAD_BYTES = 65_536
MAX_HEADERS = 100
#: Requests that wait behind one under way on the same connection.
MAX_PIPELINED = 32
#: For a client to read what waits for it, some 64 KiB. One that reads nothing would hold its response and its place for good.
READ_TIMEOUT_S = 60.0
#: For a head to arrive, from the connection's begin or from the last response.
HEAD_TIMEOUT_S = 10.0
#: Between two lines of log about refusals of the same kind.
_LOG_EVERY_S = 10.0
#: Files that are no connections of clients: the store, the broker, the log.
_OWN_FILES = 64

_log = logging.getLogger("mousetrap.api")


class BoundedConfig(uvicorn.Config):
    """The server's configuration, with the most connections that it may have."""

    def __init__(self, app: Any, settings: Settings, **more: Any) -> None:
        super().__init__(
            app,
            http=BoundedProtocol,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies,
            **more,
        )
        self.most_connections = _room_for(settings.api_max_connections)
        self.refusals = Refusals()


def _room_for(wanted: int) -> int:
    """The connections that the process may have: its limit of open files is raised for them as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + _OWN_FILES
    if hard != resource.RLIM_INFINITY and hard < files:
        _log.warning("the limit of open files (%d) allows %d connections", hard, hard - _OWN_FILES)
        files = max(hard, _OWN_FILES + 1)
    if soft != resource.RLIM_INFINITY and soft < files <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files - _OWN_FILES


class Refusals:
    """Logs refusals: the first of a kind at once, then their number every ten seconds."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    def note(self, kind: str, client: object) -> None:
        """Counts a refusal of `client`, and logs the first one, then one every ten seconds."""
        now = time.monotonic()
        if now - self._since.get(kind, float("-inf")) < _LOG_EVERY_S:
            self._unlogged[kind] = self._unlogged.get(kind, 0) + 1
            return
        self._since[kind] = now
        _log.warning("refused %s: %s (and %d before)", client, kind, self._unlogged.pop(kind, 0))


class _Refused(Exception):
    """Raised in the parser's call, which ends the parsing."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection. The parser has no bounds of its own: a header of 300 MB cost 500 MB and two minutes of a core."""

    config: BoundedConfig
    #: When the wait for a head began; None while a request is under way.
    waiting_since: float | None = None
    #: When more began to wait than the connection takes; None while it takes all.
    unread_since: float | None = None
    #: Bytes since the last head or piece of a body was complete.
    _unparsed = 0
    _problem = Problem(Kind.MALFORMED_REQUEST, "send HTTP/1.1 as RFC 9112 has it")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ends the connection that has waited longest where there are too many, or this one where none waits."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.waiting_since = self.loop.time()
        if len(self.connections) > self.config.most_connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Refuses a client that sends more than any head may have and has completed nothing by it."""
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._problem = _too_large()
            self.send_400_response("")

    def on_headers_complete(self) -> None:
        """Checks the head, which may be larger than allowed where it came at once."""
        large = self._unparsed > MAX_HEAD_BYTES and _size(self.url, self.headers) > MAX_HEAD_BYTES
        if large or len(self.headers) > MAX_HEADERS or len(self.pipeline) >= MAX_PIPELINED:
            self._problem = _too_large()
            raise _Refused
        self._unparsed = 0
        super().on_headers_complete()
        self.waiting_since = None

    def on_body(self, body: bytes) -> None:
        """A piece of a body: `BodyLimit` bounds those."""
        self._unparsed = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """The next request may come, for which the time begins."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.pipeline:
            self.waiting_since = self.loop.time()

    def pause_writing(self) -> None:
        """The client reads less than is sent."""
        super().pause_writing()
        self.unread_since = self.loop.time()

    def resume_writing(self) -> None:
        """It has read most of it."""
        super().resume_writing()
        self.unread_since = None

    def end_if_late(self, now: float) -> None:
        """Ends the connection if it has waited too long for a head, or for its client to read."""
        if self.unread_since is not None and now - self.unread_since > READ_TIMEOUT_S:
            self.config.refusals.note("reads nothing", self.client)
            self.transport.abort()
            return
        if self.waiting_since is not None and now - self.waiting_since > HEAD_TIMEOUT_S:
            self._problem = Problem(
                Kind.HEAD_TOO_SLOW, f"send the whole head within {HEAD_TIMEOUT_S:.0f} seconds"
            )
            self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        """Answers with the problem that was met, and closes."""
        if self.transport.is_closing():
            return
        self.config.refusals.note(self._problem.kind, self.client)
        # Else the problem would be in the middle of a response.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_written(self._problem))
        self.transport.close()

    def _make_room(self) -> None:
        others = (each for each in self.connections if isinstance(each, BoundedProtocol) and each is not self)
        waiting = [each for each in others if each.waiting_since is not None]
        if waiting:
            longest = min(waiting, key=lambda each: each.waiting_since or 0.0)
            self.config.refusals.note(Kind.TOO_MANY_CONNECTIONS, longest.client)
            self.connections.discard(longest)  # its end comes later, and room is needed now
            longest.transport.abort()
        else:
            self._problem = Problem(Kind.TOO_MANY_CONNECTIONS, "come back when others have left")
            self.send_400_response("")


def end_late_ones(connections: set[Any], now: float) -> None:
    """Ends the connections that have waited too long for a head, or for their client to read."""
    for each in tuple(connections):
        if isinstance(each, BoundedProtocol):
            each.end_if_late(now)


def _too_large() -> Problem:
    return Problem(
        Kind.HEAD_TOO_LARGE,
        f"send a head of at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers, "
        f"and at most {MAX_PIPELINED} requests before their responses",
    )


def _size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def _written(problem: Problem) -> bytes:
    response = respond(problem)
    response.headers.update(OF_DATA)
    status = HTTPStatus(response.status_code)
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([*lines, b"connection: close", b"", bytes(response.body)])
