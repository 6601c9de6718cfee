"""Compares the limits of two JSON Schemas."""

from collections.abc import Iterator
from typing import Any

from mousetrap.contract_changes.flatten import Json

_NUMBERS = frozenset({"integer", "number", None})
#: The keyword, whether a greater one is narrower, and the kinds that it limits.
_LIMITS: tuple[tuple[str, bool, frozenset[str | None]], ...] = (
    ("minLength", True, frozenset({"string", None})),
    ("maxLength", False, frozenset({"string", None})),
    ("minItems", True, frozenset({"array", None})),
    ("maxItems", False, frozenset({"array", None})),
    ("minProperties", True, frozenset({"object", None})),
    ("maxProperties", False, frozenset({"object", None})),
)
#: Keywords that are compared; any other that the reader has must be the same.
_KNOWN = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items", "prefixItems", "enum", "const"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *(name for name, _, _ in _LIMITS),
    }
)


def bound_breaks(reader: Json, writer: Json) -> Iterator[str]:
    """Each limit of the reader that a value of the writer can break, or that cannot be compared."""
    kind = writer.get("type")
    for name, greater_is_narrower, kinds in _LIMITS:
        if (
            name in reader
            and kind in kinds
            and not _implied(reader[name], writer.get(name), greater_is_narrower)
        ):
            yield f"{name} is {reader[name]}, and was {writer.get(name, 'not set')}"
    if kind in _NUMBERS:
        yield from _number_breaks(reader, writer)
    for name in reader.keys() - _KNOWN:
        same = reader[name] == writer.get(name) and "$ref" not in str(reader[name])
        if not same and reader[name] is not False:
            yield f"{name} is {str(reader[name])[:200]}, and was {str(writer.get(name, 'not set'))[:200]}"


def _implied(limit: Any, written: Any, greater_is_narrower: bool) -> bool:
    if limit == 0 and greater_is_narrower:
        return True
    return written is not None and bool(written >= limit if greater_is_narrower else written <= limit)


def _number_breaks(reader: Json, writer: Json) -> Iterator[str]:
    for name, exclusive, sign in (("minimum", "exclusiveMinimum", 1), ("maximum", "exclusiveMaximum", -1)):
        limits = [(sign * reader[word], word == exclusive) for word in (name, exclusive) if word in reader]
        written = [(sign * writer[word], word == exclusive) for word in (name, exclusive) if word in writer]
        if limits and (not written or max(written) < max(limits)):
            yield f"{name} is {sign * max(limits)[0]}, and was {sign * max(written)[0] if written else 'not set'}"
