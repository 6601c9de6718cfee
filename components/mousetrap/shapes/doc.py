"""Describes a field for the OpenAPI document."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Doc:
    """A field's description and example values, for `Annotated`.

    pydantic, which the API's framework makes the document with, calls the method below on any annotation that has it. So no
    other brick needs pydantic.
    """

    description: str = ""
    examples: tuple[Any, ...] = ()

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Callable[[Any], Any]) -> dict[str, Any]:
        added: dict[str, Any] = {}
        if self.description:
            added["description"] = self.description
        if self.examples:
            added["examples"] = list(self.examples)
        return {**handler(core_schema), **added}
