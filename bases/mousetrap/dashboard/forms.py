"""Reads what a browser sends: address, query, cookies, forms."""

import time

from starlette.requests import Request

from mousetrap.api_keys import SIGNED_IN
from mousetrap.dashboard.facts import Problem, Refused
from mousetrap.dashboard.gate import NO_ONE
from mousetrap.dashboard.view import Query, View

#: Bytes of a form: an edited input or letter, within what the API takes.
_MOST_FORM_BYTES = 4_000_000
THEME, THEMES = "mousetrap-theme", ("light", "dark")


def view_of(request: Request, path: str = "") -> View:
    """What the visitor asks to see; `path` is the page's address with its names, as `/runs/{run}`."""
    return View(
        path=path or request.scope["path"],
        names=request.path_params,
        query=Query.parse(request.scope["query_string"].decode("latin-1")),
        visitor=request.scope.get(SIGNED_IN, NO_ONE),
        address=request.client.host if request.client else "",
        theme=theme if (theme := request.cookies.get(THEME, "")) in THEMES else "",
        now_ms=time.time_ns() // 1_000_000,
        origin=f"{request.url.scheme}://{request.url.netloc}",
    )


async def read_form(request: Request) -> Query:
    """The form's fields. Raises Refused for one that is too large or cannot be read."""
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


def address_of(request: Request) -> str:
    """The page's path with its query, as the browser wrote them."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    path, query = raw.decode("latin-1"), request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path
