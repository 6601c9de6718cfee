"""Mounts the dashboard, and signs people in with the API's keys."""

import logging
import re
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from starlette import types

from mousetrap import dashboard
from mousetrap.api.access import Access, address_of, check_machine, check_scopes, holder_of
from mousetrap.api.audit import CALLER, note_refusal
from mousetrap.api.errors import problem_of
from mousetrap.api.problems import Problem, document
from mousetrap.api.routes import Route
from mousetrap.api.services import Services
from mousetrap.api_keys import SIGNED_IN, Caller, Scope
from mousetrap.jobs import StoreUnreachable

_RANDOM_BYTES = 32
_WEIGHT = re.compile(r"[01](\.[0-9]{0,3})?")

_log = logging.getLogger("mousetrap.api")


class ForPeople(Route):
    """A route that leads browsers to the dashboard, and is the framework's for all others."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The one or the other, by what the request accepts."""
        handle = super().get_route_handler()

        async def choose(request: Request) -> Response:
            return _to_pages() if prefers_pages(request.headers.get("accept", "")) else await handle(request)

        return choose


def add_dashboard(app: FastAPI, *, at_root: bool) -> None:
    """Serves the dashboard at its address; `at_root`: nothing else is served at `/`, from where browsers are led there."""
    watchers = app.state.watchers
    visitors = Visitors(app)
    host = dashboard.Host(app, app.state.stopping, watchers.is_open, watchers.one_more, visitors)

    async def lead(_: Request) -> Response:
        return _to_pages()

    async def lead_people(request: Request) -> Response:
        if prefers_pages(request.headers.get("accept", "")):
            return _to_pages()
        raise HTTPException(404)

    app.add_route(dashboard.BASE, lead, include_in_schema=False)
    if at_root:
        app.add_route("/", lead_people, include_in_schema=False)
    app.mount(dashboard.BASE, _reading(dashboard.create_dashboard(host), visitors))


def _reading(pages: types.ASGIApp, visitors: "Visitors") -> types.ASGIApp:
    """These pages; a form that is larger or slower than the API takes is refused by a page."""

    async def serve(scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        async def receiving() -> types.Message:
            with visitors.refusing():
                return await receive()

        await pages(scope, receiving, send)

    return serve


def prefers_pages(accept: str) -> bool:
    """Whether a page is preferred to JSON, as browsers write it: `text/html` itself is named, and first."""
    html = _weight(accept, "text/html")
    return html > max(_weight(accept, kind) for kind in ("application/json", "application/*", "*/*"))


def _weight(accept: str, kind: str) -> float:
    for part in accept.split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        if name.lower() == kind:
            weight = next((it[2:] for it in parameters if it.startswith("q=")), "1")
            return float(weight) if _WEIGHT.fullmatch(weight) else 0.0
    return 0.0


def _to_pages() -> Response:
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    return RedirectResponse(f"{dashboard.BASE}/", 303, headers)


class Visitors:
    """The people in front of the dashboard, as its `Visitors`."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    @property
    def without_keys(self) -> bool:
        """Whether no keys are configured."""
        return self._access.local_only

    def check_machine(self, request: Request) -> None:
        """Raises Refused for a request that may come from another machine."""
        with self.refusing():
            check_machine(request)

    async def start(self, request: Request, key: str) -> str:
        """The token of a new session of this key's holder. Raises Refused for a wrong key, or one that may not read."""
        access = self._access
        with self.refusing():
            caller = holder_of(key, request, access, access.failed)
            request.scope[CALLER] = caller.id
            check_scopes(caller, Scope.READ)
            chance = secrets.token_bytes(_RANDOM_BYTES)
            token = await self._services.sessions.start(access.keys, caller, chance, time.time())
        _log.info("signed in", extra={"who": caller.id, "address": address_of(request)})
        return token

    async def find(self, token: str) -> Caller | None:
        """Whose session it is. Raises Refused while that cannot be known, for the store is away."""
        with self.refusing():
            return await self._services.sessions.find(self._access.keys, token, time.time())

    async def end(self, token: str) -> None:
        """Ends the session. Raises Refused while the store is away: then it ends by itself."""
        with self.refusing():
            await self._services.sessions.end(token)

    def note_refusal(self, request: Request, kind: str) -> None:
        """Puts on record that a request was refused."""
        visitor: Caller | None = request.scope.get(SIGNED_IN)
        if visitor is not None and (visitor.id or self.without_keys):
            request.scope[CALLER] = visitor.id or "loopback"
        note_refusal(request, kind)

    @property
    def _access(self) -> Access:
        access: Access = self._app.state.access
        return access

    @property
    def _services(self) -> Services:
        services: Services = self._app.state.services
        return services

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Raises Refused for what the API refuses."""
        try:
            yield
        except (Problem, StoreUnreachable) as error:
            problem = problem_of(error, local=self._access.local_only)
            assert problem is not None
            wait = {"retry_after": (problem.headers or {}).get("Retry-After")}
            shown = msgspec.convert({**document(problem), **wait}, dashboard.Problem, strict=False)
            raise dashboard.Refused(shown) from None
