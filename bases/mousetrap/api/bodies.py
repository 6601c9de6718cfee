"""Reads and documents bodies in JSON."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from mousetrap.api.problems import Kind, Problem

Body = TypeVar("Body", bound=BaseModel)


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """The documentation of a route's body of this model."""
    schema = model.model_json_schema()
    in_place = _in_place(schema, schema.pop("$defs", {}))
    return {"requestBody": {"content": {"application/json": {"schema": in_place}}}}


def _in_place(schema: Any, named: dict[str, Any]) -> Any:
    """The schema with each part that it refers to in its place: the document has no such names."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return named[schema["$ref"].rpartition("/")[2]]
        return {name: _in_place(part, named) for name, part in schema.items()}
    return [_in_place(part, named) for part in schema] if isinstance(schema, list) else schema


def body_of(model: type[Body]) -> Callable[[Request], Coroutine[Any, Any, Body]]:
    """Reads the body as this model, an empty one as its defaults; as a dependency, so that the key is checked before."""

    async def read(request: Request) -> Body:
        try:
            return model.model_validate_json(await request.body() or b"{}", strict=True)
        except ValidationError as error:
            wrong = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
            raise RequestValidationError(wrong) from None

    return read


class _Given(msgspec.Struct):
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


async def given_input(request: Request) -> bytes | None:
    """The member `input` of a body as it was sent: read into values and written again, numbers could change."""
    try:
        given = msgspec.json.decode(await request.body() or b"{}", type=_Given).input
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(Kind.INVALID_REQUEST, f"the body cannot be read: {error}", where="body") from None
    return None if isinstance(given, msgspec.UnsetType) else bytes(given)
