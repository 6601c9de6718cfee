"""Writes contracts in the JSON Schema that AsyncAPI understands."""

from typing import Any

#: Keywords whose value maps names to schemas, so that its own names are no keywords.
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas"})
#: Keywords whose value is no schema, whatever it looks like.
_VALUES = frozenset({"const", "enum", "default", "examples", "example"})


def draft_07(schema: Any) -> Any:
    """A schema of draft 2020-12 as one of AsyncAPI, which is draft 7: the same where that has it, else less strict."""
    if isinstance(schema, list):
        return [draft_07(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    written = {name: _value(name, value) for name, value in schema.items() if name != "discriminator"}
    if "prefixItems" in written:
        rest = {"additionalItems": written.pop("items")} if "items" in written else {}
        written |= {"items": written.pop("prefixItems"), **rest}
    if "$ref" in written and len(written) > 1:  # in draft 7 nothing beside a reference counts
        written = {"allOf": [{"$ref": written.pop("$ref")}], **written}
    return written


def _value(name: str, value: Any) -> Any:
    if name in _VALUES:
        return value
    if name == "pattern" and isinstance(value, str) and value.endswith(r"\Z"):
        return value.removesuffix(r"\Z") + "$"  # Python's end of a text, as everyone else writes it
    if name in _NAMED and isinstance(value, dict):
        return {each: draft_07(schema) for each, schema in value.items()}
    return draft_07(value)
