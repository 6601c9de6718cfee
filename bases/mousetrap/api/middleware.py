"""Wraps every request: adds headers, answers HEAD, bounds bodies."""

import asyncio
import math
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mousetrap.api.problems import Kind, Problem
from mousetrap.api.version import INTERFACE_VERSION
from mousetrap.dashboard import BASE

#: Headers of every response: the version for clients, the others for browsers.
_ALWAYS = {
    "Mousetrap-Version": INTERFACE_VERSION,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
#: Headers of a response that is no page: run nothing, keep nothing.
OF_DATA: Mapping[str, str] = {
    **_ALWAYS,
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
#: Headers of /docs: its own files, requests to this server alone, no script or style within the page.
OF_PAGE: Mapping[str, str] = {
    **_ALWAYS,
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
}
_PAGE = "/docs"
#: From the first wait for a body to its end; the server itself has no timeout.
_BODY_TIMEOUT_S = 30.0
#: The same for a body that is a stream.
_STREAM_TIMEOUT_S = 600.0
#: Where a request's scope has the bounds of its body.
_BODY = "mousetrap.body"


class Headers:
    """Adds these headers to each response of the application; a route's own header for caching is replaced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        of_dashboard = path == BASE or path.startswith(f"{BASE}/")
        more = _RAW_OF_DASHBOARD if of_dashboard else _RAW_OF_PAGE if path.startswith(_PAGE) else _RAW_OF_DATA

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A stream of events has `Cache-Control: no-cache`; ours is no weaker. The dashboard has its own policy.
                own = [it for it in message["headers"] if of_dashboard or it[0] != b"cache-control"]
                message = {**message, "headers": [*own, *more]}
            await send(message)

        await self._app(scope, receive, sending)


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


_RAW_OF_DATA, _RAW_OF_PAGE = _raw(OF_DATA), _raw(OF_PAGE)
#: The dashboard has its own policies. A browser that may send no referrer sends `Origin: null` with a form.
_RAW_OF_DASHBOARD = [header for header in _raw(_ALWAYS) if header[0] != b"referrer-policy"]


class Head:
    """Answers HEAD wherever GET is answered: the same status and headers, no body.

    The response ends at its first part, also that of a stream without end.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # A copy: the server reads its own scope, and sends no body.
        await self._app({**scope, "method": "GET"}, receive, _first_part(send))


def _first_part(send: Send) -> Send:
    over = False

    async def sending(message: Message) -> None:
        nonlocal over
        if over:
            return
        if message["type"] == "http.response.body":
            over = True
            message = {"type": "http.response.body"}
        await send(message)

    return sending


class BodyLimit:
    """Bounds the bytes of a body and the time it takes. Content-Length is only a claim, and a chunked body has none."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[_BODY] = body = _Body(receive, self._max_bytes)
            receive = body.receive
        await self._app(scope, receive, send)


def expect_stream(scope: Scope) -> None:
    """Lets the request's body be of any size from now on; its route bounds the parts, and what it keeps of them."""
    body: _Body = scope[_BODY]
    body.expect_stream()


class _Body:
    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes: float = max_bytes
        self._received = 0
        self._complete = False
        self._streamed = False
        self._deadline = asyncio.get_running_loop().time() + _BODY_TIMEOUT_S

    def expect_stream(self) -> None:
        """A part in each thirty seconds, of any number of bytes, and the last one within ten minutes."""
        self._streamed, self._max_bytes = True, math.inf
        self._deadline += _STREAM_TIMEOUT_S - _BODY_TIMEOUT_S

    async def receive(self) -> Message:
        """The next part of the body; once that is complete, any other message of the server."""
        if self._complete:
            return await self._receive()
        deadline = self._deadline
        if self._streamed:
            deadline = min(deadline, asyncio.get_running_loop().time() + _BODY_TIMEOUT_S)
        try:
            async with asyncio.timeout_at(deadline):
                message = await self._receive()
        except TimeoutError:
            raise _refused(Kind.BODY_TOO_SLOW, self._advice()) from None
        self._received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._received > self._max_bytes:
            raise _refused(
                Kind.BODY_TOO_LARGE,
                f"send at most {self._max_bytes} bytes, or raise MOUSETRAP_API_MAX_BODY",
            )
        return message

    def _advice(self) -> str:
        if self._streamed:
            return f"send a part of the body within each {_BODY_TIMEOUT_S:.0f} seconds, and all of it within ten minutes"
        return f"send the whole body within {_BODY_TIMEOUT_S:.0f} seconds"


def _refused(kind: Kind, detail: str) -> Problem:
    # The connection is closed: the rest of the body would be read for nothing.
    return Problem(kind, detail, headers={"Connection": "close"})
