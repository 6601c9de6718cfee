"""Answers HEAD wherever GET is answered: the same status and headers, no body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """Asks the application for GET and ends the answer at its first part, also that of a stream without end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # A copy: the server looks at its own, and sends no body.
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
