"""Compares the HTTP interface with the last release's; records a release's.

`python -m http_interface` (with `development` on the path) writes docs/openapi.json: at a release, and never for a test.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mousetrap.api import create_app
from mousetrap.contract_changes import accepts
from mousetrap.settings import Settings

Json = Mapping[str, Any]

#: The last release's interface, as an OpenAPI document without the paths of single pipelines.
RELEASED = Path(__file__).parents[1] / "docs/openapi.json"
_METHODS = ("get", "put", "post", "delete", "patch")
#: How OpenAPI refers to a schema, and how a schema by itself does.
_OURS, _PLAIN = "#/components/schemas/", "#/$defs/"


def breaks(old: Json, new: Json) -> list[str]:
    """What a client of the interface `old` meets in `new` that it cannot use; nothing where all are additions.

    A client ignores members and fixed values that it does not know, and sends what `old` describes.
    """
    old, new = _plain(old), _plain(new)
    found = []
    for path, method, before in _operations(old):
        after = new["paths"].get(path, {}).get(method)
        parts = _operation(_Both(old, new), before, after) if after else ["it is removed"]
        found += [f"{method.upper()} {path}: {each}" for each in parts]
    return list(dict.fromkeys(found))


def described() -> dict[str, Any]:
    """The interface of this version. Only the general answer to an error is kept: all are problems of one form."""
    document: dict[str, Any] = json.loads(json.dumps(create_app(Settings(), {}).openapi()))
    for _, _, operation in _operations(document):
        operation["responses"] = {
            status: each
            for status, each in operation["responses"].items()
            if status < "400" or status == "default"
        }
    return document


class _Both:
    """The schemas that the two documents refer to."""

    def __init__(self, old: Json, new: Json) -> None:
        self._old, self._new = (each.get("components", {}).get("schemas", {}) for each in (old, new))

    def sent(self, old: Any, new: Any) -> Iterator[str]:
        """What is refused now of what a client of `old` sends."""
        for where, what in accepts(
            {**_object(new), "$defs": self._new}, {**_object(old), "$defs": self._old}
        ):
            yield f"{where}: {what}"

    def answered(self, old: Any, new: Any) -> Iterator[str]:
        """What a reader of `old` lacks in the answers of now."""
        reader, writer = _open(_object(old)), _object(new)
        mine, theirs = _open(self._old), self._new
        for change in (dict, _complete):
            pair = {**change(reader), "$defs": change(mine)}, {**change(writer), "$defs": change(theirs)}
            for where, what in accepts(*pair):
                yield f"{where} of the answer: {what}"


def _operation(both: _Both, old: Json, new: Json) -> Iterator[str]:
    yield from _security(old, new)
    yield from _parameters(both, old, new)
    yield from _body(both, old.get("requestBody", {}), new.get("requestBody", {}))
    for status, answer in old["responses"].items():
        if status not in new["responses"]:
            yield f"its answer {status} is removed"
            continue
        content = new["responses"][status].get("content", {})
        for kind, part in answer.get("content", {}).items():
            if kind not in content:
                yield f"its answer {status} is no {kind} any more"
            else:
                yield from both.answered(part.get("schema", True), content[kind].get("schema", True))


def _security(old: Json, new: Json) -> Iterator[str]:
    now = new.get("security", [{}])
    for key in old.get("security", [{}]):
        if not any(set(it) <= set(key) and all(set(it[name]) <= set(key[name]) for name in it) for it in now):
            yield f"it asks for more than {json.dumps(key)}"


def _parameters(both: _Both, old: Json, new: Json) -> Iterator[str]:
    before, now = ({(it["in"], it["name"]): it for it in each.get("parameters", ())} for each in (old, new))
    for key, parameter in before.items():
        if key not in now:
            yield f"parameter {key[1]} is removed"
            continue
        for what in both.sent(parameter["schema"], now[key]["schema"]):
            yield f"parameter {key[1]}, {what}"
    for key, parameter in now.items():
        if parameter.get("required") and not before.get(key, {}).get("required"):
            yield f"parameter {key[1]} is required"


def _body(both: _Both, old: Json, new: Json) -> Iterator[str]:
    if new.get("required") and not old.get("required"):
        yield "a body is required"
    for kind, part in old.get("content", {}).items():
        if kind not in new.get("content", {}):
            yield f"a body of {kind} is not taken any more"
        else:
            yield from both.sent(part.get("schema", True), new["content"][kind].get("schema", True))


def _operations(document: Json) -> Iterator[tuple[str, str, Any]]:
    for path, methods in document["paths"].items():
        yield from ((path, method, methods[method]) for method in _METHODS if method in methods)


def _plain(document: Json) -> Json:
    """The document with references as a schema by itself has them."""
    plain: Json = json.loads(json.dumps(document).replace(f'"{_OURS}', f'"{_PLAIN}'))
    return plain


def _object(schema: Any) -> dict[str, Any]:
    return {} if schema is True else dict(schema)


def _open(schema: Any) -> Any:
    """The schema without fixed texts: a reader takes any."""
    if isinstance(schema, list):
        return [_open(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _open(value) for name, value in schema.items()}
    return (
        kept
        if kept.get("type") != "string"
        else {name: kept[name] for name in kept if name not in ("enum", "const")}
    )


def _complete(schema: Any) -> Any:
    """The schema with every member required, so that one that is gone is missed."""
    if isinstance(schema, list):
        return [_complete(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {name: _complete(value) for name, value in schema.items()}
    return (
        {**whole, "required": list(whole["properties"])}
        if isinstance(whole.get("properties"), dict)
        else whole
    )


if __name__ == "__main__":
    RELEASED.write_text(json.dumps(described(), indent=1) + "\n")
