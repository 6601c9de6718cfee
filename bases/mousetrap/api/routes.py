"""Refuses query parameters that would be ignored."""

from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, get_origin
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from mousetrap.api.problems import Kind, Problem


class Route(APIRoute):
    """The class of every route: a misspelt filter must not show or start something else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler, called only with parameters that it reads, all of them."""
        handle = super().get_route_handler()
        known = dict(sorted(_parameters(self.dependant)))

        async def checked(request: Request) -> Response:
            if request.scope["query_string"]:
                _check_query(request.scope["query_string"], known)
            return await handle(request)

        return checked


def _check_query(query: bytes, known: Mapping[str, bool]) -> None:
    """Raises Problem for one that is unknown, has no value, or is given twice, of which one would be ignored."""
    given: set[str] = set()
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        where = f"query.{name[:100]}"
        if name not in known:
            advice = f"this path knows: {', '.join(known)}" if known else "this path knows none"
            raise Problem(Kind.UNKNOWN_PARAMETER, advice, where=where)
        if not value:
            advice = f"`{name}` is empty: leave it out, or give it a value"
            raise Problem(Kind.INVALID_REQUEST, advice, where=where)
        if name in given and not known[name]:
            advice = f"`{name}` is given more than once: it takes one value, so ask once for each"
            raise Problem(Kind.INVALID_REQUEST, advice, where=where)
        given.add(name)


def _parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Their names, and whether they take several values."""
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from ((it.alias or name, _is_many(it.annotation)) for name, it in kind.model_fields.items())
        else:
            yield field.alias, _is_many(kind)
    for inner in dependant.dependencies:
        yield from _parameters(inner)


def _is_many(annotation: Any) -> bool:
    return get_origin(annotation) in (list, tuple)
