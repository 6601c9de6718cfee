"""Checks values against types that pydantic reads.

Nothing here imports pydantic before a contract needs it: a worker without such contracts runs without pydantic.
"""

import typing
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

from mousetrap.pipeline.contract_broken import MAX_TEXT, ContractBroken, broken
from mousetrap.pipeline.gathered import is_gathered
from mousetrap.pipeline.non_finite import non_finite
from mousetrap.retry import error_text

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

#: What a class has that pydantic can read: a model, a dataclass of pydantic's, a type as HttpUrl.
_MARKS = ("__get_pydantic_core_schema__", "__pydantic_fields__")

_read_any = msgspec.json.Decoder(Any).decode


def is_pydantic(contract: Any) -> bool:
    """Whether the contract, or a part of it, is pydantic's."""
    return any(_is_marked(part) for part in _parts(contract, []))


class PydanticContract:
    """Pydantic models, and lists, unions, dataclasses or typed dictionaries of them.

    Raises TypeError for a type without a JSON form, and for secrets: pydantic writes asterisks in their place.
    """

    def __init__(self, contract: Any) -> None:
        pydantic = import_module(
            "pydantic"
        )  # by its name: a deployable without such contracts needs no pydantic
        self._error: type[ValidationError] = pydantic.ValidationError
        try:
            self._adapter: TypeAdapter[Any] = pydantic.TypeAdapter(contract)
            self._schema: dict[str, Any] = self._adapter.json_schema()
        except pydantic.errors.PydanticUserError as error:
            raise TypeError(f"pydantic cannot read it: {error_text(error, MAX_TEXT)}") from error
        if b'"writeOnly":true' in msgspec.json.encode(self._schema):
            raise TypeError("pydantic writes asterisks for its secrets, so they would be lost: take a str")

    def read(self, raw: bytes | memoryview | msgspec.Raw) -> Any:
        """The value of some JSON. Raises ContractBroken where it does not fit."""
        given = _decoded(raw)  # pydantic alone takes NaN, and 1e999 as infinity
        try:
            return self._adapter.validate_json(bytes(raw))
        except self._error as error:
            problem = _broken(error, given)
        except Exception as error:  # a validator of the model can raise any
            raise broken(error) from error
        raise problem  # not below `except`: the text of pydantic's error shows the input

    def write(self, value: Any) -> bytes:
        """`value` as JSON, read back; computed fields are left out, as they cannot be read.

        Raises ContractBroken for a value that does not fit or has no JSON form.
        """
        try:
            raw = self._adapter.dump_json(value, by_alias=True, round_trip=True, warnings="none")
            plain = self._adapter.dump_python(value, warnings="none") if b"null" in raw else None
        except (TypeError, ValueError, RecursionError) as error:
            raise ContractBroken(f"no JSON form: {error_text(error, MAX_TEXT)}") from error
        if plain is not None and (found := non_finite(plain)) is not None:
            raise ContractBroken(*found)
        self.read(raw)
        return raw

    def schema(self) -> dict[str, Any]:
        """The type as JSON Schema."""
        return self._schema


def make_model(name: str, module: str, fields: dict[str, Any]) -> type:
    """A pydantic model with these fields, a type and a default each, which refuses all others."""
    pydantic = import_module("pydantic")
    model: type = pydantic.create_model(
        name, __module__=module, __config__=pydantic.ConfigDict(extra="forbid", frozen=True), **fields
    )
    return model


def _decoded(raw: bytes | memoryview | msgspec.Raw) -> Any:
    try:
        return _read_any(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise broken(error) from error


def _broken(error: "ValidationError", given: Any) -> ContractBroken:
    """The first error, with its JSON path, as others have it: pydantic's places name members of unions too."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = "$"
    for step in first["loc"]:
        if isinstance(given, dict) and step in given:
            given, where = given[step], f"{where}.{step}"
        elif isinstance(given, list) and isinstance(step, int) and step < len(given):
            given, where = given[step], f"{where}[{step}]"
    what = first["msg"] if first["type"] != "missing" else f"Field required: `{first['loc'][-1]}`"
    return ContractBroken(what[:MAX_TEXT], where)


def _is_marked(part: Any) -> bool:
    if isinstance(part, type):
        return any(hasattr(part, mark) for mark in _MARKS)
    return type(part).__module__.partition(".")[0] in ("annotated_types", "pydantic")  # in an Annotated


def _parts(contract: Any, seen: list[Any]) -> Iterator[Any]:
    """The type and all types in it, but not those in a msgspec.Struct, which pydantic cannot read."""
    if any(contract is each for each in seen):
        return
    seen.append(contract)
    yield contract
    if is_gathered(contract):  # each of its values is read by itself
        return
    for part in (*typing.get_args(contract), *_field_types(contract)):
        yield from _parts(part, seen)


def _field_types(contract: Any) -> tuple[Any, ...]:
    if not isinstance(contract, type) or issubclass(contract, msgspec.Struct) or _is_marked(contract):
        return ()
    if not hasattr(contract, "__annotations__"):
        return ()
    try:
        return tuple(typing.get_type_hints(contract, include_extras=True).values())
    except Exception:  # noqa: BLE001  a name that nothing resolves can raise anything: the reader refuses it
        return ()
