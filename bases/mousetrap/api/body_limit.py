"""Bounds the size of a request's body, and the time that it takes to arrive."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mousetrap.api.problems import Problem

#: Seconds from the first look at a body to its end; the server itself would wait for ever.
_PATIENCE = 30.0


class BodyLimit:
    """Counts what arrives: Content-Length is only a claim, and a chunked body has none."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        bounded = _Body(receive, self._most).receive if scope["type"] == "http" else receive
        await self._app(scope, bounded, send)


class _Body:
    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._most = most
        self._taken = 0
        self._complete = False
        self._deadline = asyncio.get_running_loop().time() + _PATIENCE

    async def receive(self) -> Message:
        """The next part of the body; once that is complete, whatever else the server has to tell."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise _refused("body-too-slow", f"send the whole body within {_PATIENCE:.0f} seconds") from None
        self._taken += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._taken > self._most:
            raise _refused(
                "body-too-large", f"send at most {self._most} bytes, or raise MOUSETRAP_API_MAX_BODY"
            )
        return message


def _refused(kind: str, detail: str) -> Problem:
    # Closing saves us the rest of a body that nobody will read.
    return Problem(kind, detail, headers={"Connection": "close"})
