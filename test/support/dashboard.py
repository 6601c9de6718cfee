"""Gives pages of the dashboard over an API with chosen answers."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mousetrap.api_keys import Caller
from mousetrap.dashboard import BASE

#: What a browser sends with the form of a page of ours.
OWN_FORM = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Answers:
    """An API that gives these answers: (status, value) by "METHOD /path"; it notes what it is asked."""

    given: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    #: The headers of each.
    headers: list[dict[str, str]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        line = f"{scope['method']} {scope['path']}"
        body = (await receive()).get("body", b"")
        query = scope["query_string"].decode()
        self.asked.append((line, query, body))
        self.headers.append({name.decode(): value.decode("latin-1") for name, value in scope["headers"]})
        missing = (404, {"status": 404, "title": "There is no such path", "detail": line})
        status, value = self.given.get(f"{line}?{query}", self.given.get(line, missing))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": msgspec.json.encode(value)})


class AtThisMachine:
    """Visitors where no keys are configured."""

    without_keys = True

    def check_machine(self, request: Request) -> None:
        pass

    async def start(self, request: Request, key: str) -> str:
        raise NotImplementedError

    async def find(self, token: str) -> Caller | None:
        raise NotImplementedError

    async def end(self, token: str) -> None:
        raise NotImplementedError

    def note_refusal(self, request: Request, kind: str) -> None:
        pass


@dataclass
class Pages:
    """The dashboard without a server."""

    app: ASGIApp
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)
    #: Whether an error that no page is made of is raised here; a server writes it to its log.
    raises: bool = True

    def get(self, path: str, **query: Any) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, params=query))

    def post(self, path: str, form: Any = None) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, data=form or {}, headers=OWN_FORM))

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(_mounted(self.app), raise_app_exceptions=self.raises)
        async with httpx.AsyncClient(
            transport=transport, base_url=f"http://localhost{BASE}", cookies=self.cookies
        ) as client:
            response = await client.request(method, path, **more)
            self.cookies.update(client.cookies)
            return response


def _mounted(app: ASGIApp) -> ASGIApp:
    async def below(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": BASE}, receive, send)

    return below
