"""Reads one part of a JSON Schema: references, null, alternatives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any
from urllib.parse import unquote

Json = Mapping[str, Any]

#: References and alternatives of one that are followed in a row.
_MOST_STEPS = 50
_ALTERNATIVES = ("anyOf", "oneOf")
_FORMS: Mapping[str, type | UnionType] = {
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "enum", "prefixItems", "required", "examples"), list),
    **dict.fromkeys(("properties", "discriminator"), Mapping),
    **dict.fromkeys(("items", "additionalProperties"), Mapping | bool),
    **dict.fromkeys(("minItems", "maxItems", "maxLength", "minLength"), int),
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), int | float
    ),
    **dict.fromkeys(("$ref", "format", "description"), str),
    "type": str | list,
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a schema, without references, and without null among what it takes."""

    schema: Json
    is_nullable: bool = False
    #: The references that led to it: one that comes again within it is a recursive type.
    references: frozenset[str] = field(default_factory=frozenset)

    @property
    def alternatives(self) -> tuple[Any, ...]:
        """What a value may be one of, where there are several."""
        return next((tuple(self.schema[word]) for word in _ALTERNATIVES if word in self.schema), ())


def read_part(schema: Any, document: Json, references: frozenset[str] = frozenset()) -> Part | None:
    """The part; None for one that contains itself, and for what cannot be read."""
    is_nullable = False
    for _ in range(_MOST_STEPS):
        if not isinstance(schema, Mapping) or not _is_well_formed(schema):
            return None
        if "$ref" in schema:
            name = str(schema["$ref"])
            if name in references:
                return None
            references |= {name}
            schema = _merged(schema, "$ref", _target(name, document))
            continue
        inner, takes_null = _without_null(schema)
        is_nullable |= takes_null
        if inner is schema:
            return Part(schema, is_nullable, references)
        schema = inner
    return None


def _is_well_formed(schema: Json) -> bool:
    """Whether those of its words that are read here have the form that JSON Schema gives them."""
    return all(isinstance(schema[word], form) for word, form in _FORMS.items() if word in schema)


def _merged(schema: Json, word: str, inner: Any) -> Any:
    """What `inner` has, and what stands beside `word`."""
    if not isinstance(inner, Mapping):
        return None
    return {**inner, **{name: value for name, value in schema.items() if name != word}}


def _target(name: str, document: Json) -> Any:
    if not name.startswith("#"):
        return None
    found: Any = document
    for step in name[1:].split("/")[1:]:
        step = unquote(step).replace("~1", "/").replace("~0", "~")
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _without_null(schema: Json) -> tuple[Any, bool]:
    """The schema itself, if nothing of it is to be taken apart; else what is left, and whether null was among it."""
    if len(schema.get("allOf", ())) == 1:
        return _merged(schema, "allOf", schema["allOf"][0]), False
    for word in _ALTERNATIVES:
        options = schema.get(word)
        if options:
            return _alternatives(schema, word, options)
    kinds = schema.get("type")
    if isinstance(kinds, list):
        left = [kind for kind in kinds if kind != "null"]
        return {**schema, "type": left[0] if len(left) == 1 else "several"}, "null" in kinds
    values = schema.get("enum", ())
    if None in values and len(values) > 1:
        return {**schema, "enum": [value for value in values if value is not None]}, True
    return schema, False


def _alternatives(schema: Json, word: str, options: list[Any]) -> tuple[Any, bool]:
    left = [each for each in options if each != {"type": "null"}]
    if len(left) == 1:
        return _merged(schema, word, left[0]), len(left) < len(options)
    return ({**schema, word: left}, True) if len(left) < len(options) else (schema, False)
