"""Reads a variable's text as the type of its setting."""

from typing import Any

import msgspec
from msgspec import inspect


def read(text: str, kind: Any) -> Any:
    """The value of `text`. Raises ValueError with a description of valid values, without the text, which may be a secret."""
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        raise ValueError(f"write {_valid(inspect.type_info(kind))}") from None


def _valid(kind: inspect.Type) -> str:
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values):
            return f"one of: {', '.join(map(str, values))}"
        case inspect.IntType(ge=least, le=most):
            return f"a whole number{_bounds(least, most)}"
        case inspect.FloatType(gt=0, le=most):
            return f"a number above 0 and up to {most:.0f}"
        case inspect.FloatType(ge=least, le=most):
            return f"a number{_bounds(least, most)}"
        case _:
            return "a text"


def _bounds(least: float | None, most: float | None) -> str:
    if least is None or most is None:
        return "" if least is None else f" of at least {least:.15g}"
    return f" from {least:.15g} to {most:.15g}"
