"""Chooses the kind of field for a part of a schema."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mousetrap.schema_form.json_text import compact, exact
from mousetrap.schema_form.part import Json, Part, read_part

#: Values of an enumeration, and tags of a union, that a list shows; with more of them a value is raw JSON.
MOST_OPTIONS = 200
#: Alternatives of a union; one with more is raw JSON.
MOST_ALTERNATIVES = 50
#: Members of an object; one with more is raw JSON.
MOST_MEMBERS = 100
#: Forms of texts of which none is empty.
_NEVER_EMPTY = frozenset({"date-time", "date", "time", "duration", "uri", "email", "uuid", "decimal"})
#: What a form's field cannot carry: browsers change some of these characters, and show none of them.
_CHANGED = re.compile("[\0-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_CHANGED_IN_NAMES = re.compile("[\0-\x1f\x7f\ud800-\udfff]")
_NUMBERS = ("integer", "number")


@dataclass(frozen=True, slots=True)
class Tagged:
    """One alternative of a union."""

    #: The JSON of its tag.
    tag: str
    label: str
    part: Part


@dataclass(frozen=True, slots=True)
class Tags:
    """The alternatives of a union, by the member that decides which one a value is."""

    name: str
    each: tuple[Tagged, ...]


def kind_of(part: Part | None, document: Json) -> str:
    """The kind of its field; raw where no other can show its values."""
    if part is None or "allOf" in part.schema:
        return "raw"
    if part.alternatives:
        return "union" if tags_of(part, document) else "raw"
    if values_of(part.schema) is not None:
        return "choice" if options_of(part.schema) else "raw"
    kind = part.schema.get("type")
    if kind == "object":
        return "group" if _has_plain_names(part.schema.get("properties")) else "raw"
    kinds = {"string": "line", "integer": "line", "number": "line", "boolean": "tick", "array": "rows"}
    return kinds.get(kind, "raw") if isinstance(kind, str) else "raw"


def values_of(schema: Json) -> list[Any] | None:
    """The values that it takes, where it lists them."""
    return [schema["const"]] if "const" in schema else schema.get("enum")


def options_of(schema: Json) -> tuple[tuple[str, str], ...]:
    """The JSON and the label of each value that it lists; none where they are too many, or no plain values."""
    values = values_of(schema) or []
    is_plain = all(isinstance(value, str | int | float | None) for value in values)
    return (
        tuple((compact(value), label(value)) for value in values)
        if is_plain and len(values) <= MOST_OPTIONS
        else ()
    )


def label(value: Any) -> str:
    """A plain value as people read it."""
    return value if isinstance(value, str) else "none" if value is None else compact(value)


def tags_of(part: Part, document: Json) -> Tags | None:
    """The alternatives of the part, if each is an object and one member of it decides which."""
    options = part.alternatives
    if not 1 < len(options) <= MOST_ALTERNATIVES:
        return None
    read = [read_part(each, document, part.references) for each in options]
    parts = [each for each in read if each is not None and kind_of(each, {}) == "group"]
    if len(parts) < len(options):
        return None
    for name in _tag_names(part.schema, parts[0].schema["properties"]):
        if (found := _tagged(name, parts, document)) is not None:
            return Tags(name, found)
    return None


def _tag_names(union: Json, properties: Json) -> tuple[str, ...]:
    named = union.get("discriminator")
    if named is not None and isinstance(named.get("propertyName"), str):
        return (named["propertyName"],)
    return tuple(properties)


def _tagged(name: str, parts: list[Part], document: Json) -> tuple[Tagged, ...] | None:
    found: dict[str, Tagged] = {}
    for part in parts:
        tag = read_part(part.schema["properties"].get(name), document)
        options = options_of(tag.schema) if tag is not None else ()
        if not options or found.keys() & dict(options):
            return None
        found |= {text: Tagged(text, label, part) for text, label in options}
    return tuple(found.values()) if len(found) <= MOST_OPTIONS else None


def _has_plain_names(properties: Any) -> bool:
    return (
        isinstance(properties, Mapping)
        and len(properties) <= MOST_MEMBERS
        and not any(_CHANGED_IN_NAMES.search(name) for name in properties)
    )


def is_number(schema: Json) -> bool:
    """Whether it takes numbers."""
    return schema.get("type") in _NUMBERS


def has_empty(schema: Json) -> bool:
    """Whether an empty text can be a value of it."""
    return not (is_number(schema) or schema.get("format") in _NEVER_EMPTY or schema.get("minLength"))


def can_be_shown(text: str) -> bool:
    """Whether a browser sends this text back as it got it."""
    return not _CHANGED.search(text)


def keyboard_of(schema: Json) -> str:
    """The keyboard for it, as HTML names it."""
    if is_number(schema):
        return "text" if _below_zero(schema) else "numeric" if schema["type"] == "integer" else "decimal"
    return {"uri": "url", "email": "email"}.get(str(schema.get("format")), "text")


def _below_zero(schema: Json) -> bool:
    """Whether a value may need a minus, which the keyboards for numbers of some phones do not have."""
    return bool(schema.get("minimum", schema.get("exclusiveMinimum", -1)) < 0)


def hint_of(schema: Json) -> str:
    """What is expected, in a few characters."""
    example = next(iter(schema.get("examples", ())), None)
    limits = _limits(schema) if is_number(schema) else _moments.get(str(schema.get("format")), "")
    shown = f"as {label(exact(example))}" if isinstance(example, str | int | float) else ""
    return ", ".join(filter(None, (limits, shown[:80])))


_moments = {
    "date-time": "2026-12-01T08:00:00Z",
    "date": "2026-12-01",
    "time": "08:00:00Z",
    "duration": "PT1H30M",
    "uuid": "eight digits, three times four, twelve",
    "uri": "https://…",
    "email": "name@host",
}


def _limits(schema: Json) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    words = []
    if least is not None and most is not None:
        words.append(f"{least} … {most}")
    elif least is not None or most is not None:
        words.append(f"at least {least}" if least is not None else f"at most {most}")
    for name, text in (
        ("exclusiveMinimum", "above"),
        ("exclusiveMaximum", "below"),
        ("multipleOf", "in steps of"),
    ):
        if name in schema:
            words.append(f"{text} {schema[name]}")
    return ", ".join(words)
