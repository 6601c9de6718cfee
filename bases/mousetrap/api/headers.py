"""Says to browsers what they may do with a response: run nothing, guess no type, keep nothing."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Of every response.
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
#: Of what is no page.
OF_DATA: Mapping[str, str] = {
    **_ALWAYS,
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
#: Of /docs: its own files and requests to this server alone, and no script or style within the page.
OF_PAGE: Mapping[str, str] = {
    **_ALWAYS,
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
}
_PAGE = "/docs"


class Headers:
    """Adds these headers to each response of the application; what a route says of caching counts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        more = _RAW_OF_PAGE if scope["path"].startswith(_PAGE) else _RAW_OF_DATA

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A stream of events says `Cache-Control: no-cache`, which stands for no less here.
                own = [header for header in message["headers"] if header[0] != b"cache-control"]
                message = {**message, "headers": [*own, *more]}
            await send(message)

        await self._app(scope, receive, sending)


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


_RAW_OF_DATA, _RAW_OF_PAGE = _raw(OF_DATA), _raw(OF_PAGE)
