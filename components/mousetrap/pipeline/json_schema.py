"""Checks values against a JSON Schema, where the type is another process's."""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import msgspec

from mousetrap.pipeline.contract_broken import MAX_TEXT, ContractBroken, broken
from mousetrap.retry import error_text

_encode = msgspec.json.Encoder().encode
_read_any = msgspec.json.Decoder(Any).decode

#: Steps that a pattern may go back before its text counts as wrong; no pattern can take long.
_MAX_BACKTRACKS = 100_000
#: The end of a text as Python's patterns have it; the library that checks has another letter for it.
_END = re.compile(r"(?<!\\)((?:\\\\)*)\\Z")
#: What holds values, and no schemas.
_VALUES = frozenset(("const", "default", "enum", "examples"))


def _readable(schema: Any) -> Any:
    """The schema with patterns as the library reads them."""
    if isinstance(schema, list):
        return [_readable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: value if key in _VALUES else _readable(value) for key, value in schema.items()}
    if isinstance(pattern := found.get("pattern"), str):
        found["pattern"] = _END.sub(r"\1\\z", pattern)
    return found


class JsonSchema:
    """A contract that is known by its schema alone (draft 2020-12); nothing is fetched for it.

    A value that fits is read as the JSON that it was, so that a submitter changes no number of it; defaults are the reader's
    to fill in. Formats, as `date-time`, are not checked: types read more forms of them than the standard has. Equal schemas
    are equal contracts. Raises ValueError for what is no schema.
    """

    __slots__ = ("_canonical", "_schema", "_validator")

    def __init__(self, schema: Mapping[str, Any]) -> None:
        jsonschema_rs = import_module(
            "jsonschema_rs"
        )  # by its name: a worker, which has the types, runs without it

        self._schema = dict(schema)
        try:
            self._canonical = msgspec.json.encode(self._schema, order="deterministic")
            self._validator = jsonschema_rs.Draft202012Validator(
                _readable(self._schema),
                offline=True,
                mask="the value",  # errors do not repeat what was sent
                pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_MAX_BACKTRACKS),
            )
        except (RecursionError, ValueError) as error:
            reason = error_text(error, MAX_TEXT).partition("\n")[0]
            raise ValueError(f"a contract is no JSON Schema that can be checked: {reason}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonSchema) and self._canonical == other._canonical

    def __hash__(self) -> int:
        return hash(self._canonical)

    def __repr__(self) -> str:
        return f"JsonSchema({self._canonical.decode()[:MAX_TEXT]})"

    def read(self, raw: bytes | memoryview | msgspec.Raw) -> msgspec.Raw:
        """The same JSON. Raises ContractBroken where it does not fit."""
        try:
            value = _read_any(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise broken(error) from error
        for wrong in self._validator.iter_errors(value):
            raise ContractBroken(wrong.message[:MAX_TEXT], _path(wrong.instance_path))
        return msgspec.Raw(bytes(raw))

    def write(self, value: Any) -> bytes:
        """`value` as JSON. Raises ContractBroken where it does not fit."""
        try:
            raw = _encode(value)
        except (msgspec.EncodeError, TypeError, ValueError, RecursionError) as error:
            raise broken(error) from error
        self.read(raw)
        return raw

    def schema(self) -> dict[str, Any]:
        """The schema."""
        return self._schema


def all_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """The schema of what fits each of these; each one's references stay its own."""
    return {"allOf": _apart(schemas)}


def any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """The schema of what fits one of these; each one's references stay its own."""
    return {"anyOf": _apart(schemas)}


def _apart(schemas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"$id": f"urn:contract:{place}", **schema} for place, schema in enumerate(schemas)]


def _path(steps: list[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
