"""Finds who visits, and refuses forms of other pages."""

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from mousetrap.api_keys import SIGNED_IN, Caller, Scope
from mousetrap.dashboard.facts import Problem, Refused
from mousetrap.dashboard.host import Visitors
from mousetrap.dashboard.words import BASE

#: The visitor where no keys are configured, and one who is not signed in.
_ANYONE, NO_ONE = Caller("", frozenset(Scope)), Caller("", frozenset())
#: Methods that change nothing.
_SAFE = ("GET", "HEAD")
#: A browser keeps a cookie of the first name only from https, for this host alone; so no other site can set it.
_HTTPS_COOKIE, _HTTP_COOKIE = "__Host-mousetrap", "mousetrap"
_SITE = "sec-fetch-site"
_SAME_SITE: Literal["strict"] = "strict"


class Gate:
    """Decides from a request alone, and from the sessions, who visits."""

    def __init__(self, visitors: Visitors) -> None:
        self._visitors = visitors

    async def visitor(self, request: Request) -> Caller:
        """Who visits: `NO_ONE` for who has to sign in first. Raises Refused for a form of another page, or without keys of another machine."""
        try:
            check_site(request)
            if self._visitors.without_keys:
                self._visitors.check_machine(request)
                return _ANYONE
        except Refused as refused:
            self._visitors.note_refusal(request, refused.problem.kind)
            raise
        return await self.signed_in(request) or NO_ONE

    async def signed_in(self, request: Request) -> Caller | None:
        """Who is signed in here, now. Raises Refused while that cannot be known."""
        token = token_of(request)
        return await self._visitors.find(token) if token else None

    async def stays(self, request: Request) -> bool:
        """Whether a visitor who was let in is still signed in, with the same scopes; yes while that cannot be known."""
        if self._visitors.without_keys:
            return True
        try:
            visitor: Caller = request.scope[SIGNED_IN]
            return await self.signed_in(request) == visitor
        except Refused:
            return True


def check_site(request: Request) -> None:
    """Raises Refused for what a page of another site made, but for a link that was followed.

    Browsers name the site in Sec-Fetch-Site, but only to https and to this machine; all of them send Origin with a form.
    """
    headers = request.headers
    site = headers.get(_SITE)
    ours = f"{request.scope.get('scheme', 'http')}://{headers.get('host', '')}"
    if request.method in _SAFE:
        is_foreign = came_from_elsewhere(request) and headers.get("sec-fetch-mode") != "navigate"
    else:
        is_foreign = site != "same-origin" if site is not None else headers.get("origin") != ours
    if is_foreign:
        raise Refused(
            Problem(
                status=403,
                title="This came from another site",
                detail=f"only a page of {ours} may send this. If this is one, a proxy in between has to keep the Host "
                "header, and MOUSETRAP_TRUSTED_PROXIES to name it. Scripts call the HTTP interface, with a key.",
                type="urn:mousetrap:problem:foreign-origin",
            )
        )


def came_from_elsewhere(request: Request) -> bool:
    """Whether a link of another site led here: the browser leaves our cookie out then, though it may have one."""
    return request.headers.get(_SITE) in ("cross-site", "same-site")


def is_https(request: Request) -> bool:
    """Whether the browser is connected by https, to us or to a proxy that we trust."""
    return str(request.scope.get("scheme", "http")) == "https"


def token_of(request: Request) -> str:
    """The token of the session; empty for none."""
    return request.cookies.get(_cookie(request), "")


def give_token(request: Request, response: Response, token: str) -> None:
    """Has the browser keep the token until it is closed."""
    response.set_cookie(
        _cookie(request), token, path="/", httponly=True, secure=is_https(request), samesite=_SAME_SITE
    )


def take_token(request: Request, response: Response) -> None:
    """Has the browser forget the token."""
    response.delete_cookie(
        _cookie(request), path="/", httponly=True, secure=is_https(request), samesite=_SAME_SITE
    )


def own_page(path: str) -> str:
    """A page of the dashboard to go to; its first one for anything else."""
    is_own = path.startswith(f"{BASE}/") and "\\" not in path and path.isprintable()
    return path if is_own else f"{BASE}/"


def _cookie(request: Request) -> str:
    return _HTTPS_COOKIE if is_https(request) else _HTTP_COOKIE
