"""Assembles the dashboard: its pages, their rules, its stream."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mousetrap.api_keys import SIGNED_IN
from mousetrap.dashboard.facts import Facts, LastKnown, Problem, Refused
from mousetrap.dashboard.forms import THEME, THEMES, read_form, view_of
from mousetrap.dashboard.gate import NO_ONE, Gate, own_page
from mousetrap.dashboard.host import Host
from mousetrap.dashboard.live import Hub, last_part
from mousetrap.dashboard.pages import ROUTES
from mousetrap.dashboard.render import BANNER, Templates
from mousetrap.dashboard.sign_in import PATH, SignIn
from mousetrap.dashboard.static_files import StaticFiles
from mousetrap.dashboard.view import Act, Elsewhere, File, Page, PageRoute, Show, View
from mousetrap.dashboard.words import BASE

#: No script, style, picture or request but our own; no frame around it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: With `no-referrer` a browser would send no Origin with a form, by which we know that it is of our own page.
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
#: What is served to who is not signed in, besides static files.
_OPEN = (PATH, "/sign-out", "/theme")
#: Between two looks whether who watches a page is still signed in.
_CHECKED_EVERY_S = 15.0
_NOTICE = "mousetrap-notice"
#: Characters of a notice. As hexadecimal digits of up to four bytes each they stay below the 4 kB that a cookie may have.
_MOST_OF_NOTICE = 300
_STREAM = "text/event-stream"


def create_dashboard(host: Host) -> ASGIApp:
    """The dashboard as an application, to be mounted at /ui of the API that `host` names."""
    return _Dashboard(host)


@cache
def _templates(static_version: str) -> Templates:
    """Compiled once a process, for its first page: that takes a tenth of a second, a seventh of the start of an API."""
    return Templates(static_version)


class _Dashboard:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._gate = Gate(host.visitors)
        self._sign_in = SignIn(host.visitors, self._alone)
        self._kept = LastKnown()
        static = StaticFiles()
        self._version = static.version
        self._static = f"/static/{static.version}/"
        self._shows: dict[str, Show] = {each.path: each.show for each in ROUTES if each.show}
        self._hub = Hub(self._look, self._fill)
        routes: list[BaseRoute] = [
            Route(f"{self._static}{{name:path}}", static.serve),
            *self._sign_in.routes(),
            Route("/theme", self._set_theme, methods=["POST"]),
            *(Route(f"/live{each.path}", self._stream(each)) for each in ROUTES if each.show),
            # Before the pages: /runs/export is no run.
            *(Route(each.path, self._file(each.file)) for each in ROUTES if each.file),
            *(Route(each.path, self._page(each, each.show)) for each in ROUTES if each.show),
            *(
                Route(each.path, self._action(each, each.act), methods=["POST"])
                for each in ROUTES
                if each.act
            ),
        ]
        self._app = Starlette(
            routes=routes,
            exception_handlers={
                404: self._missing,
                405: self._missing,
                Refused: self._refused,
                Exception: self._defect,
            },
        )

    @property
    def _templates(self) -> Templates:
        return _templates(self._version)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request of who may send it."""
        path = scope["path"].removeprefix(BASE)
        if path.startswith(self._static):
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        answer = await self._stopped(Request(scope, receive), path)
        await (answer or self._app)(scope, receive, sending)

    async def _stopped(self, request: Request, path: str) -> Response | None:
        """The response to a request that goes no further; else the request has its visitor from here on."""
        try:
            view_of(request)
        except ValueError as error:
            return Response(f"The query cannot be read: {error}", 400, media_type="text/plain")
        try:
            visitor = request.scope[SIGNED_IN] = await self._gate.visitor(request)
        except Refused as refused:
            return await self._refused(request, refused)
        if visitor is not NO_ONE or path in _OPEN:
            return None
        if path.startswith("/live/"):
            return StreamingResponse(iter([self._signed_out(request)]), media_type=_STREAM)
        return self._sign_in.first(request)

    def _page(self, route: PageRoute, show: Show) -> Any:
        async def serve(request: Request) -> Response:
            view = view_of(request, route.path)
            facts = self._facts(view)
            try:
                self._check_scope(request, view, route)
                page = await show(view, facts)
            except Elsewhere as elsewhere:
                return RedirectResponse(elsewhere.to, 303)
            except Refused as refused:
                page = _error(refused.problem)
            return self._respond(request, view, facts, page)

        return serve

    def _file(self, file: Callable[[View], File]) -> Any:
        async def serve(request: Request) -> ASGIApp:
            view = view_of(request)
            asked = file(view)

            async def respond(scope: Scope, receive: Receive, send: Send) -> None:
                await self._facts(view).pass_on(asked.path, asked.query, asked.name, receive, send)

            return respond

        return serve

    def _action(self, route: PageRoute, act: Act) -> Any:
        async def serve(request: Request) -> Response:
            view = view_of(request)
            facts = self._facts(view)
            try:
                self._check_scope(request, view, route)
                done = await act(view, await read_form(request), facts)
            except Refused as refused:
                done = _error(refused.problem)
            if isinstance(done, Page):
                return self._respond(request, view, facts, done)
            response = RedirectResponse(f"{BASE}{done.to}", 303)
            if done.notice:
                response.set_cookie(
                    _NOTICE,
                    done.notice[:_MOST_OF_NOTICE].encode().hex(),
                    max_age=60,
                    path=BASE,
                    httponly=True,
                    samesite="strict",
                )
            return response

        return serve

    def _stream(self, route: PageRoute) -> Any:
        async def serve(request: Request) -> Response:
            view = view_of(request, route.path)
            self._check_scope(request, view, route)
            if not self._host.has_room():
                return Response("too many pages are open", 503, {"Retry-After": "10"})

            async def parts() -> AsyncIterator[str]:
                checked_s = time.monotonic()
                with self._host.stream():
                    async for part in self._hub.watch(view, self._host.stopping):
                        if time.monotonic() - checked_s >= _CHECKED_EVERY_S:
                            checked_s = time.monotonic()
                            if not await self._gate.stays(request):
                                yield self._signed_out(request)
                                return
                        yield part

            return StreamingResponse(parts(), media_type=_STREAM)

        return serve

    def _check_scope(self, request: Request, view: View, route: PageRoute) -> None:
        """Raises Refused for who may not send the form of this page. The API would refuse it too, after it was filled in."""
        if route.act is None or view.may(route.needs):
            return
        kind = "scope-missing"
        self._host.visitors.note_refusal(request, kind)
        detail = f"the key {view.visitor.id} lacks the scope {route.needs}: sign in with one that has it"
        title = "The key does not allow this"
        raise Refused(Problem(status=403, title=title, detail=detail, type=f"urn:mousetrap:problem:{kind}"))

    def _signed_out(self, request: Request) -> str:
        """The last part of a stream whose visitor is signed out."""
        page = request.scope["path"].removeprefix(f"{BASE}/live")
        query = request.scope["query_string"].decode("latin-1")
        back = f"{BASE}{page}{f'?{query}' if query else ''}"
        return last_part({BANNER: self._templates.alone("signed_out.html", back=back)})

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
        response = HTMLResponse(text, page.status)
        if notice:
            response.delete_cookie(_NOTICE, path=BASE, httponly=True, samesite="strict")
        return response

    async def _set_theme(self, request: Request) -> Response:
        form = await read_form(request)
        response = RedirectResponse(own_page(form.one("back")), 303)
        theme = form.one("theme")
        if theme in THEMES:
            response.set_cookie(THEME, theme, max_age=31_536_000, path=BASE, samesite="strict")
        else:
            response.delete_cookie(THEME, path=BASE, samesite="strict")
        return response

    def _alone(self, request: Request, page: Page) -> Response:
        """A page that shows no facts."""
        view = view_of(request)
        return self._respond(request, view, self._facts(view), page)

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return self._alone(request, _error(error.problem))

    async def _defect(self, request: Request, _: Exception) -> Response:
        """The page of an error that is ours; the framework raises it again, so that the server's log has it."""
        detail = "this is a defect of ours: the server's log has its traceback"
        return self._alone(request, _error(Problem(status=500, title="The page failed", detail=detail)))

    async def _missing(self, request: Request, _: Exception) -> Response:
        what = f"{BASE}{request.scope['path'].removeprefix(BASE)} is no page of the dashboard."
        problem = Problem(status=404, title="There is no such page", detail=what)
        return self._alone(request, _error(problem))


def _error(problem: Problem) -> Page:
    try:
        usual = HTTPStatus(problem.status).phrase
    except ValueError:
        usual = "Error"
    return Page(problem.title or usual, "error.html", problem, status=problem.status)


def _notice(request: Request) -> str:
    """What the act before this page did."""
    try:
        return bytes.fromhex(request.cookies.get(_NOTICE, "")).decode()[:_MOST_OF_NOTICE]
    except ValueError:
        return ""


def _live(request: Request, page: Page) -> str:
    """The address of the page's stream; empty where nothing changes."""
    if not page.regions or page.is_over or page.status >= 400:
        return ""
    path, query = request.scope["path"].removeprefix(BASE), request.scope["query_string"].decode("latin-1")
    query = query if page.live is None else str(page.live)
    return f"{BASE}/live{path}{f'?{query}' if query else ''}"
