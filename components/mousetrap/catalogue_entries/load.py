"""Imports an object by its name."""

from importlib import import_module
from typing import Any


def load(name: str) -> Any:
    """The object with this name, "module:object". Raises ValueError if there is none."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{name!r} in the catalogue cannot be imported: {error}") from error
