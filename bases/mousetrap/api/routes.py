"""Refuses query parameters that a route does not know."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from mousetrap.api.problems import Kind, Problem


class Route(APIRoute):
    """The class of every route: a misspelt filter must not show or start something else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler, called only with parameters that it knows."""
        handle = super().get_route_handler()
        known = sorted(set(_query_names(self.dependant)))

        async def checked(request: Request) -> Response:
            if request.scope["query_string"]:
                _check_query(request.scope["query_string"], known)
            return await handle(request)

        return checked


def _check_query(query: bytes, known: list[str]) -> None:
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            advice = f"this path knows: {', '.join(known)}" if known else "this path knows none"
            raise Problem(Kind.UNKNOWN_PARAMETER, advice, where=f"query.{name[:100]}")


def _query_names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (it.alias or name for name, it in kind.model_fields.items())
        else:
            yield field.alias
    for inner in dependant.dependencies:
        yield from _query_names(inner)
