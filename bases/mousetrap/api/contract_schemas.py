"""Collects the JSON Schemas of contracts as components of an OpenAPI document."""

import json
import re
from collections.abc import Mapping
from typing import Any

from mousetrap.pipeline import schema

#: Keeps the names of contracts apart from those of our own answers.
_PREFIX = "contract."
#: Where JSON Schema has the definitions that a document refers to.
_DEFINITIONS = "#/$defs/"

Json = dict[str, Any]


class ContractSchemas:
    """The definitions of all contracts that were added, under names of their own."""

    def __init__(self) -> None:
        #: By name; each refers to others as `#/components/schemas/NAME`.
        self.components: dict[str, Json] = {}
        self._definitions: dict[str, Json] = {}

    def add(self, contract: Any) -> Json:
        """The contract's schema, which refers to the components."""
        added: Json = self._referring(schema(contract), {})
        return added

    def _referring(self, part: Any, names: Mapping[str, str]) -> Any:
        """`part` with references to components, `names` being those of the definitions around it."""
        if isinstance(part, list):
            return [self._referring(value, names) for value in part]
        if isinstance(part, str):
            return names.get(part, part)
        if not isinstance(part, dict):
            return part
        if isinstance(part.get("$defs"), dict):  # of the contract, or of one of several that are all held to
            names = self._define(part["$defs"])
        hidden = ("$defs", "$id") if "$defs" in part else ()
        return {key: self._referring(value, names) for key, value in part.items() if key not in hidden}

    def _define(self, definitions: Json) -> Mapping[str, str]:
        """Adds the definitions; by the reference to each, the reference to its component."""
        own = {name: self._name(name, _with_its_parts(name, definitions)) for name in definitions}
        names = {_DEFINITIONS + name: f"#/components/schemas/{component}" for name, component in own.items()}
        for name, definition in definitions.items():
            self.components[own[name]] = self._referring(definition, names)
        return names

    def _name(self, name: str, definition: Json) -> str:
        """Definitions that are equal in all their parts share a component; another one of that name is numbered."""
        plain = _PREFIX + re.sub(r"[^A-Za-z0-9._-]", "_", name)  # a manifest can have any name
        numbered, number = plain, 1
        while self._definitions.setdefault(numbered, definition) != definition:
            number += 1
            numbered = f"{plain}.{number}"
        return numbered


def _with_its_parts(name: str, definitions: Json) -> Json:
    """The definition of that name and all that it refers to, by name."""
    parts, rest = {}, [name]
    while rest:
        each = rest.pop()
        if each not in parts and each in definitions:
            parts[each] = definitions[each]
            rest += re.findall(rf'"{re.escape(_DEFINITIONS)}([^"]+)"', json.dumps(definitions[each]))
    return parts
