"""Assembles the dashboard: its pages, their rules, its stream."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from mousetrap.api_keys import Caller, Scope
from mousetrap.dashboard.facts import Facts, LastKnown, Problem, Refused
from mousetrap.dashboard.host import Host
from mousetrap.dashboard.live import Hub
from mousetrap.dashboard.pages import ROUTES
from mousetrap.dashboard.render import Templates
from mousetrap.dashboard.static_files import StaticFiles
from mousetrap.dashboard.view import Act, Page, Query, Show, View
from mousetrap.dashboard.words import BASE

#: Bytes of a form: an edited input or letter, within what the API takes.
_MOST_FORM_BYTES = 4_000_000
#: No script, style, picture or request but our own; no frame around it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
_THEMES = ("light", "dark")
_NOTICE = "mousetrap-notice"


def create_dashboard(host: Host) -> ASGIApp:
    """The dashboard as an application, to be mounted at /ui of the API that `host` names."""
    return _Dashboard(host).app


class _Dashboard:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._kept = LastKnown()
        static = StaticFiles()
        self._templates = Templates(static.version)
        self._shows: dict[str, Show] = {each.path: each.show for each in ROUTES if each.show}
        self._hub = Hub(self._look, self._fill)
        routes: list[BaseRoute] = [
            Route(f"/static/{static.version}/{{name:path}}", static.serve),
            Route("/theme", self._set_theme, methods=["POST"]),
            *(Route(f"/live{each.path}", self._stream(each.path, each.show)) for each in ROUTES if each.show),
            *(Route(each.path, self._page(each.path, each.show)) for each in ROUTES if each.show),
            *(Route(each.path, self._action(each.act), methods=["POST"]) for each in ROUTES if each.act),
        ]
        self.app = Starlette(routes=routes, exception_handlers={404: self._missing, 405: self._missing})

    def _page(self, path: str, show: Show) -> Any:
        async def serve(request: Request) -> Response:
            view = _view(request, path)
            facts = self._facts(view)
            try:
                page = await show(view, facts)
            except Refused as refused:
                page = _error(refused.problem)
            return self._respond(request, view, facts, page)

        return serve

    def _action(self, act: Act) -> Any:
        async def serve(request: Request) -> Response:
            view = _view(request, request.scope["path"])
            facts = self._facts(view)
            try:
                done = await act(view, await _form(request), facts)
            except Refused as refused:
                done = _error(refused.problem)
            if isinstance(done, Page):
                return self._respond(request, view, facts, done)
            response = RedirectResponse(f"{BASE}{done.to}", 303, _HEADERS)
            if done.notice:
                response.set_cookie(
                    _NOTICE,
                    done.notice.encode().hex(),
                    max_age=60,
                    path=BASE,
                    httponly=True,
                    samesite="strict",
                )
            return response

        return serve

    def _stream(self, path: str, show: Show) -> Any:
        async def serve(request: Request) -> Response:
            view = _view(request, path)
            if not self._host.has_room():
                return Response("too many pages are open", 503, {**_HEADERS, "Retry-After": "10"})

            async def parts() -> Any:
                with self._host.stream():
                    async for part in self._hub.watch(view, self._host.stopping):
                        yield part

            return StreamingResponse(parts(), media_type="text/event-stream", headers=_HEADERS)

        return serve

    async def _look(self, view: View) -> tuple[Facts, Page]:
        facts = self._facts(view)
        return facts, await self._shows[view.path](view, facts)

    def _fill(self, view: View, facts: Facts, page: Page) -> Mapping[str, str]:
        return self._templates.regions(view, page, facts=facts)

    def _facts(self, view: View) -> Facts:
        return Facts(self._host.api, view.visitor, view.address, self._kept)

    def _respond(self, request: Request, view: View, facts: Facts, page: Page) -> Response:
        notice = _notice(request)
        text = self._templates.whole(view, page, facts=facts, notice=notice, live=_live(request, page))
        response = HTMLResponse(text, page.status, _HEADERS)
        if notice:
            response.delete_cookie(_NOTICE, path=BASE, httponly=True, samesite="strict")
        return response

    async def _set_theme(self, request: Request) -> Response:
        form = await _form(request)
        response = RedirectResponse(_own(form.one("back")), 303, _HEADERS)
        theme = form.one("theme")
        if theme in _THEMES:
            response.set_cookie("mousetrap-theme", theme, max_age=31_536_000, path=BASE, samesite="strict")
        else:
            response.delete_cookie("mousetrap-theme", path=BASE, samesite="strict")
        return response

    async def _missing(self, request: Request, _: Exception) -> Response:
        view = _view(request, request.scope["path"])
        what = f"{BASE}{request.scope['path'].removeprefix(BASE)} is no page of the dashboard."
        problem = Problem(status=404, title="There is no such page", detail=what)
        return self._respond(request, view, self._facts(view), _error(problem))


def _view(request: Request, path: str) -> View:
    return View(
        path=path,
        names=request.path_params,
        query=Query.parse(request.scope["query_string"].decode("latin-1")),
        visitor=Caller("", frozenset(Scope)),
        address=request.client.host if request.client else "",
        theme=theme if (theme := request.cookies.get("mousetrap-theme", "")) in _THEMES else "",
        now_ms=time.time_ns() // 1_000_000,
    )


async def _form(request: Request) -> Query:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_FORM_BYTES:
            detail = f"a form has at most {_MOST_FORM_BYTES:,} bytes: the API takes larger inputs"
            raise Refused(Problem(status=413, title="The form is too large", detail=detail))
    try:
        return Query.parse(body.decode())
    except ValueError as error:
        raise Refused(Problem(status=400, title="The form cannot be read", detail=str(error))) from None


def _error(problem: Problem) -> Page:
    try:
        usual = HTTPStatus(problem.status).phrase
    except ValueError:
        usual = "Error"
    return Page(problem.title or usual, "error.html", problem, status=problem.status)


def _notice(request: Request) -> str:
    """What the act before this page did."""
    try:
        return bytes.fromhex(request.cookies.get(_NOTICE, "")).decode()[:300]
    except ValueError:
        return ""


def _live(request: Request, page: Page) -> str:
    """The address of the page's stream; empty where nothing changes."""
    if not page.regions or page.is_over or page.status >= 400:
        return ""
    path, query = request.scope["path"].removeprefix(BASE), request.scope["query_string"].decode("latin-1")
    return f"{BASE}/live{path}{f'?{query}' if query else ''}"


def _own(path: str) -> str:
    """A page of the dashboard to go back to; its first one for anything else."""
    ok = path.startswith(f"{BASE}/") and "\\" not in path and path.isprintable()
    return path if ok else f"{BASE}/"
