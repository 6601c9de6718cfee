"""Makes one contract of several named values."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mousetrap.pipeline.pydantic_contract import is_pydantic, make_model

#: In place of a default, for a value that must be given.
REQUIRED: Any = msgspec.NODEFAULT


def named_fields(name: str, module: str, fields: Mapping[str, tuple[Any, Any]]) -> type:
    """A class for a JSON object with these fields: a type and a default, or REQUIRED, by name; it refuses all others.

    It is a msgspec.Struct, or a pydantic model where a type is pydantic's. Raises TypeError or ValueError for names and
    defaults that it cannot have.
    """
    if any(is_pydantic(kind) for kind, _ in fields.values()):
        return make_model(
            name, module, {key: (kind, ... if it is REQUIRED else it) for key, (kind, it) in fields.items()}
        )
    return msgspec.defstruct(
        name,
        [(key, kind, _default(default)) for key, (kind, default) in fields.items()],
        module=module,
        kw_only=True,
        frozen=True,
        forbid_unknown_fields=True,
    )


def _default(value: Any) -> Any:
    # A list, dict or set would be shared by all values: each gets a copy.
    if isinstance(value, list | dict | set):
        return msgspec.field(default_factory=value.copy)
    return value
