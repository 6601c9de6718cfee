"""Writes a stage's payload as JSON, msgpack or a custom form."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mousetrap.pipeline.names import check_name

#: The built-in serializers; a message without a name is JSON.
JSON, MSGPACK = "json", "msgpack"

#: What runs code of the message's choice when it reads: modules, and names of functions in modules that wrap them.
_CODE_MODULES = frozenset(
    {"pickle", "_pickle", "cpickle", "dill", "cloudpickle", "jsonpickle", "marshal", "shelve"}
)
_CODE_NAMES = re.compile(r"pickle|marshal|shelve|\bdill\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Serializer:
    """A named pair of functions that write and read a payload.

    Both handle plain values, as `json.loads` gives them; the contract is checked before `dumps` and after `loads`.
    Raises ValueError for the name of a built-in one, and for pickle and its kind, which run what a message names.
    """

    name: str
    dumps: Callable[[Any], bytes]
    loads: Callable[[bytes], Any]

    def __post_init__(self) -> None:
        check_name("serializer", self.name)
        if self.name in (JSON, MSGPACK):
            raise ValueError(f"serializer {self.name!r} is built in: write serializer={self.name!r}")
        for what, function in (("dumps", self.dumps), ("loads", self.loads)):
            if not callable(function):
                raise TypeError(f"serializer {self.name!r}: {what} is {function!r}: give a function")
            if _runs_code(function):
                raise ValueError(
                    f"serializer {self.name!r}: {what} is {_unwrapped(function)!r}, and what reads pickles runs any code that "
                    "a message names: use json, msgpack or a form that holds data alone"
                )
        if _CODE_NAMES.search(self.name):
            raise ValueError(
                f"serializer {self.name!r}: a message must not be a pickle: use a form that holds data alone"
            )


class SerializerMissing(Exception):
    """The payload is written with a serializer that the stage does not have here."""

    def __init__(self, name: str, stage: str) -> None:
        super().__init__(
            f"the message is written with serializer {name!r}, which stage {stage!r} does not have here: declare it, as "
            f"Stage(name={stage!r}, …, serializer=Serializer({name!r}, dumps, loads)), then redrive the dead letter"
        )


def _runs_code(function: Any) -> bool:
    """Whether the function is one of pickle's kind, by its module or its name."""
    function = _unwrapped(function)
    names = [str(getattr(function, part, "")) for part in ("__module__", "__qualname__")]
    owner = getattr(function, "__self__", None)
    names.append(type(owner).__module__ if owner is not None else "")
    packages = {name.partition(".")[0].lower() for name in names}
    return bool(packages & _CODE_MODULES) or any(map(_CODE_NAMES.search, names))


def _unwrapped(function: Any) -> Any:
    while isinstance(function, functools.partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__
    return function
