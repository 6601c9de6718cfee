"""Shows where to sign in; starts and ends sessions."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from mousetrap.dashboard import gate
from mousetrap.dashboard.facts import Refused
from mousetrap.dashboard.forms import address_of, read_form, view_of
from mousetrap.dashboard.host import Visitors
from mousetrap.dashboard.view import Page
from mousetrap.dashboard.words import BASE, url

#: Characters of a key: one is far shorter.
_MOST_CHARACTERS = 1_000
#: Within the dashboard.
PATH = "/sign-in"

Respond = Callable[[Request, Page], Response]


@dataclass(frozen=True, slots=True)
class SignInForm:
    """What the page shows."""

    #: Where to go then.
    back: str
    #: Why the last try failed.
    error: str = ""
    #: What is to be known first.
    hint: str = ""
    #: Whether others on the network could read the key.
    is_open: bool = False
    #: A browser leaves the cookie out where a link of another site led here, and without https does not say so.
    may_be_signed_in: bool = False


class SignIn:
    """The routes of signing in and out."""

    def __init__(self, visitors: Visitors, respond: Respond) -> None:
        self._visitors = visitors
        self._respond = respond

    def routes(self) -> list[BaseRoute]:
        """They need no session."""
        return [
            Route(PATH, self._show),
            Route(PATH, self._start, methods=["POST"]),
            Route("/sign-out", self._end, methods=["POST"]),
        ]

    def first(self, request: Request) -> Response:
        """The response to who has to sign in before this request."""
        if request.method != "GET":
            hint = "You are not signed in, or not any more. Nothing was changed: sign in, and do it again."
            return self._respond(request, _page(request, f"{BASE}/", hint=hint, status=401))
        asked = address_of(request)
        if gate.came_from_elsewhere(request):
            return self._respond(request, Page("Go on", "go_on.html", asked))
        return RedirectResponse(url(PATH[1:], back=asked), 303)

    async def _show(self, request: Request) -> Response:
        back = gate.own_page(view_of(request).query.one("back"))
        if view_of(request).visitor.scopes:
            return RedirectResponse(back, 303)
        return self._respond(request, _page(request, back))

    async def _start(self, request: Request) -> Response:
        form = await read_form(request)
        back = gate.own_page(form.one("back"))
        if self._visitors.without_keys:
            return RedirectResponse(back, 303)
        try:
            token = await self._visitors.start(request, form.one("key")[:_MOST_CHARACTERS])
        except Refused as refused:
            return self._refused(request, back, refused)
        response = RedirectResponse(back, 303)
        gate.give_token(request, response, token)
        return response

    def _refused(self, request: Request, back: str, refused: Refused) -> Response:
        problem = refused.problem
        if problem.status in (401, 403, 429):
            self._visitors.note_refusal(request, problem.kind)
        wait = f": try again in {problem.retry_after} s" if problem.status == 429 else ""
        error = f"{problem.title}. {problem.detail[:1].upper()}{problem.detail[1:]}{wait}"
        response = self._respond(request, _page(request, back, error=error, status=problem.status))
        if problem.retry_after is not None:
            response.headers["Retry-After"] = str(problem.retry_after)
        return response

    async def _end(self, request: Request) -> Response:
        notice = "You are signed out."
        try:
            if token := gate.token_of(request):
                await self._visitors.end(token)
        except Refused:
            notice = "You are signed out in this browser. The store is away: there the session ends 12 hours after its last use."
        response = self._respond(request, _page(request, f"{BASE}/", hint=notice))
        gate.take_token(request, response)
        return response


def _page(request: Request, back: str, *, error: str = "", hint: str = "", status: int = 200) -> Page:
    is_open = not gate.is_https(request) and not _is_here(request)
    form = SignInForm(
        back, error, hint, is_open=is_open, may_be_signed_in=is_open and request.method == "GET"
    )
    return Page("Sign in", "sign_in.html", form, status=status)


def _is_here(request: Request) -> bool:
    """Whether the browser names this machine."""
    name = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    try:
        return name == "localhost" or ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
