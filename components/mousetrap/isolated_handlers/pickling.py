"""Pickles functions and classes as names that another process imports."""

import functools
import io
import pickle
from typing import Any

import msgspec


def pickle_by_name(value: Any) -> bytes:
    """`value` as a pickle in which functions and classes are names.

    Raises ValueError, with the culprit, when one has no name that another process could import.
    """
    pickled = io.BytesIO()
    try:
        _Pickler(pickled).dump(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(str(error)) from error
    if b"__main__" in pickled.getvalue():
        raise ValueError("something is defined in the program itself, in __main__")
    return pickled.getvalue()


class _Pickler(pickle.Pickler):
    """Pickles constraints in contracts, which pickle alone cannot."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, msgspec.Meta):
            return functools.partial(msgspec.Meta, **dict(value.__rich_repr__())), ()
        return NotImplemented
