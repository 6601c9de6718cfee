"""Finds NaN and infinities in a value.

JSON has no such numbers, and msgspec writes them as null without an error.
"""

import math
import re
from typing import Any

import msgspec

#: In MessagePack, a float whose exponent is all ones. It can appear inside a text only by a chance that costs a walk.
_IN_MESSAGEPACK = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")


def non_finite(value: Any) -> tuple[str, str] | None:
    """What the first NaN or infinity in `value` is, and its JSON path; None when there is none.

    Costs about half of what it costs to write the value as JSON; more only if there is one.
    """
    try:
        if not may_have_non_finite(msgspec.msgpack.encode(value)):
            return None
    except (OverflowError, TypeError, ValueError, msgspec.EncodeError):  # JSON knows longer numbers
        pass
    return _find(msgspec.to_builtins(value, enc_hook=_nothing), "$")


def may_have_non_finite(data: bytes) -> bool:
    """Whether a value written as MessagePack may hold NaN or an infinity; False is certain."""
    return _IN_MESSAGEPACK.search(data) is not None


def _find(value: Any, where: str) -> tuple[str, str] | None:
    """`value` was written as JSON, so it is no deeper than the interpreter's stack."""
    if isinstance(value, float):
        return None if math.isfinite(value) else (f"{value} is no JSON number", where)
    if isinstance(value, dict):
        parts = ((part, f"{where}.{name}") for name, part in value.items())
    elif isinstance(value, list | tuple):
        parts = ((part, f"{where}[{place}]") for place, part in enumerate(value))
    else:
        return None
    return next((found for part, path in parts if (found := _find(part, path)) is not None), None)


def _nothing(value: Any) -> None:
    """Stands for msgspec.Raw, which is JSON already."""
