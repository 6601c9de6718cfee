"""Asks the API in this process, as the page's visitor."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote, urlencode

import msgspec
from starlette.types import ASGIApp, Message, Receive, Send

from mousetrap.api_keys import SIGNED_IN, Caller

#: Longer than the API's own limits: a page is answered whatever hangs.
_TIMEOUT_S = 10.0
#: Answers that are kept for the time that store or broker are away, and their bytes.
_MOST_ANSWERS, _MOST_BYTES = 500, 20_000_000

T = TypeVar("T")
Parameters = Mapping[str, Any]


class Refused(Exception):
    """The API's answer to a request that it did not carry out."""

    def __init__(self, problem: "Problem") -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error of the API."""

    status: int
    title: str = "The request failed"
    detail: str = ""
    #: The last part names the kind, as in urn:mousetrap:problem:unknown-run.
    type: str = "about:blank"
    #: A JSON path or the name of a parameter.
    where: str | None = None
    #: broker, store or record: what the server waits for.
    away: tuple[str, ...] | None = None
    run_id: str | None = None
    #: Seconds after which to ask again.
    retry_after: int | None = None

    @property
    def kind(self) -> str:
        """Its kind, as unknown-run."""
        return self.type.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Reply:
    """A response of the API."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def read(self, shape: type[T]) -> T:
        """The body as this shape. Raises Refused for values that are nested deeper than can be read here."""
        try:
            return msgspec.json.decode(self.body, type=shape, strict=False)
        except RecursionError:
            detail = "a value in it is nested too deep for a page; the HTTP interface has it"
            problem = Problem(status=500, title="This cannot be shown here", detail=detail)
            raise Refused(problem) from None


@dataclass(frozen=True, slots=True)
class _Kept:
    at_s: float
    reply: Reply


class LastKnown:
    """The last good answers, for the time that store or broker are away; bounded."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, frozenset[str]], _Kept] = OrderedDict()
        self._bytes = 0

    def keep(self, key: tuple[str, str, frozenset[str]], reply: Reply) -> None:
        """Keeps an answer; the ones not asked for longest go first."""
        self._drop(key)
        if len(reply.body) > _MOST_BYTES // 2:  # it would take the place of all others
            return
        self._kept[key] = _Kept(time.time(), reply)
        self._bytes += len(reply.body)
        while len(self._kept) > _MOST_ANSWERS or self._bytes > _MOST_BYTES:
            self._drop(next(iter(self._kept)))

    def find(self, key: tuple[str, str, frozenset[str]]) -> _Kept | None:
        """The answer that was kept last."""
        return self._kept.get(key)

    def _drop(self, key: tuple[str, str, frozenset[str]]) -> None:
        if (old := self._kept.pop(key, None)) is not None:
            self._bytes -= len(old.reply.body)


class Facts:
    """What one page asks of the API."""

    def __init__(self, api: ASGIApp, visitor: Caller, address: str, kept: LastKnown) -> None:
        self._api = api
        self._visitor = visitor
        self._address = address
        self._kept = kept
        self._digest = hashlib.blake2b(digest_size=16)
        #: What is away (broker, store), with the API's sentence about it.
        self.away: dict[str, str] = {}
        #: When the oldest answer was given that is shown in place of a present one; None if all are present.
        self.stale_s: float | None = None

    @property
    def mark(self) -> bytes:
        """Equal for two looks that were answered alike."""
        return self._digest.digest()

    async def get(self, path: str, shape: type[T], query: Parameters | None = None) -> T:
        """The answer to GET, in this shape; the last known one while store or broker are away.

        Raises Refused for any other error, and where nothing is known.
        """
        text = urlencode(query or {}, doseq=True)
        key = (path, text, frozenset(self._visitor.scopes))
        reply = await self._ask("GET", path, text, b"", {})
        if reply.status < 400:
            self._kept.keep(key, reply)
        else:
            reply = self._last_known(key, problem_of(reply))
        self._digest.update(reply.body)
        self._digest.update(b"\0")
        return reply.read(shape)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Parameters | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """The answer to a request that changes something. `body` is bytes, or encoded as JSON. Raises Refused for an error."""
        raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        reply = await self._ask(method, path, urlencode(query or {}, doseq=True), raw, headers or {})
        if reply.status >= 400:
            raise Refused(problem_of(reply))
        return reply

    async def pass_on(self, path: str, query: Parameters, name: str, receive: Receive, send: Send) -> None:
        """Sends the answer to GET on as it comes, as a file of this name.

        Raises Refused for an error, and where nothing came for as long as any answer may take: what has begun ends early then,
        which a browser shows.
        """
        status, parts = 200, list[bytes]()
        scope = self._scope("GET", path, urlencode(query, doseq=True), b"", {})

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named = (b"content-disposition", f'attachment; filename="{name}"'.encode())
                message = {**message, "headers": [*message["headers"], named]}
            if status < 400:
                silence.reschedule(None)  # a slow reader is not the API's silence
                await send(message)
                silence.reschedule(asyncio.get_running_loop().time() + _TIMEOUT_S)
            else:
                parts.append(message.get("body", b""))

        with _in_time():
            async with asyncio.timeout(_TIMEOUT_S) as silence:
                await self._api(scope, receive, sending)
        if status >= 400:
            raise Refused(problem_of(Reply(status, {}, b"".join(parts))))

    def _last_known(self, key: tuple[str, str, frozenset[str]], problem: Problem) -> Reply:
        if problem.status != 503 or not problem.away:
            raise Refused(problem)
        self.away |= dict.fromkeys(problem.away, problem.detail)
        kept = self._kept.find(key)
        if kept is None:
            raise Refused(problem)
        self.stale_s = min(self.stale_s or kept.at_s, kept.at_s)
        self._digest.update(b"away")
        return kept.reply

    async def _ask(
        self, method: str, path: str, query: str, body: bytes, headers: Mapping[str, str]
    ) -> Reply:
        with _in_time():
            async with asyncio.timeout(_TIMEOUT_S):
                return await _call(self._api, self._scope(method, path, query, body, headers), body)

    def _scope(
        self, method: str, path: str, query: str, body: bytes, headers: Mapping[str, str]
    ) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (b"host", b"localhost"),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                # Not every character is one of a header: the API refuses others, and none becomes another one here.
                *((name.lower().encode(), value.encode()) for name, value in headers.items()),
            ],
            "client": (self._address, 0),
            "server": ("localhost", 80),
            SIGNED_IN: self._visitor,
        }


@contextmanager
def _in_time() -> Iterator[None]:
    """Raises Refused where the time is over."""
    try:
        yield
    except TimeoutError:
        detail = f"the API did not answer within {_TIMEOUT_S:g} s"
        raise Refused(Problem(status=503, title="No answer", detail=detail, away=("store",))) from None


def problem_of(reply: Reply) -> Problem:
    """The problem in a response."""
    try:
        return reply.read(Problem)
    except msgspec.MsgspecError:
        return Problem(status=reply.status)


async def _call(app: ASGIApp, scope: dict[str, Any], body: bytes) -> Reply:
    parts: list[bytes] = []
    status, headers = 500, dict[str, str]()
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()  # the visitor does not leave in the middle of its own request
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return Reply(status, headers, b"".join(parts))
