"""Reads the forms in which a JSON Schema has alternatives and references."""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

#: For readers: they check nothing.
_NOTES = frozenset(
    {
        *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
        *("discriminator", "$defs", "$comment", "$schema", "$id"),
    }
)


def plain(schema: Any) -> Any:
    """The schema without what checks nothing."""
    return (
        {name: value for name, value in schema.items() if name not in _NOTES}
        if isinstance(schema, Mapping)
        else schema
    )


def resolved(schema: Any, document: Json) -> Any:
    """The schema with its own reference into `document` followed, and without what checks nothing."""
    for _ in range(100):
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            break
        beside = {name: value for name, value in plain(schema).items() if name != "$ref"}
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        target = document.get("$defs", {}).get(name)
        if target is None:
            return {"not comparable": schema["$ref"]}
        schema = (
            {**plain(target), **beside} if not beside.keys() & target.keys() else {"not comparable": name}
        )
    schema = plain(schema)
    if isinstance(schema, Mapping) and len(schema.get("allOf", ())) == 1:
        (only,) = schema["allOf"]
        beside = {name: value for name, value in schema.items() if name != "allOf"}
        only = resolved(only, document)
        if isinstance(only, Mapping) and not beside.keys() & only.keys():
            return {**only, **beside}
    return schema


def alternatives(schema: Json, document: Json) -> list[Json]:
    """The schemas of which a value fits one; empty where it may fit several and must fit one alone."""
    for word in ("anyOf", "oneOf"):
        if word not in schema:
            continue
        beside = {name: value for name, value in schema.items() if name != word}
        options = [resolved(each, document) for each in schema[word]]
        if word == "oneOf" and not _apart(options):
            return []
        merged = [_merged(each, beside) for each in options]
        return [inner for each in merged for inner in alternatives(each, document)]
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return [{**schema, "type": kind} for kind in kinds]
    return [schema]


def _merged(option: Any, beside: Json) -> Json:
    if option is True:
        return beside
    if option is False or beside.keys() & option.keys():
        return {"not comparable": [option, dict(beside)]}
    return {**option, **beside}


def _apart(options: list[Any]) -> bool:
    """Whether no value fits two: by their kinds, or by a field with fixed values."""
    kinds = [each.get("type") for each in options if isinstance(each, Mapping)]
    if (
        len(kinds) == len(options)
        and all(isinstance(kind, str) for kind in kinds)
        and len(set(kinds)) == len(kinds)
    ):
        return not {"integer", "number"} <= set(kinds)
    names = set.intersection(
        *(set(each.get("required", ())) for each in options if isinstance(each, Mapping))
    )
    return any(_fixed_apart([each.get("properties", {}).get(name, {}) for each in options]) for name in names)


def _fixed_apart(tags: list[Json]) -> bool:
    values = [tag.get("enum", [tag["const"]] if "const" in tag else None) for tag in tags]
    if any(value is None for value in values):
        return False
    every = [repr(one) for value in values for one in value or ()]
    return len(set(every)) == len(every)
