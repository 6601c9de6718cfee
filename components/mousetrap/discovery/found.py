"""Finds the tasks, chains and bindings that a module has."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mousetrap.handlers import Binding, Chain, Task
from mousetrap.schedules import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A task, a chain or a binding that a module has a name for."""

    value: Any
    #: "module.name".
    name: str
    #: "file:line" of its definition, as far as it is known.
    place: str
    #: What a worker serves of it.
    bindings: tuple[Binding, ...]


def found_in(module: ModuleType, attribute: str | None = None) -> Iterator[Found]:
    """What the module has names for, or what has the name `attribute`, in the order of its text.

    What it imported counts too: a chain may be of another module's tasks. With a task come its stages of the chains that the
    module has: they share its queue.
    """
    values = tuple(vars(module).items())
    one = vars(module).get(attribute) if attribute else None
    for name, value in values:
        bindings = _bindings(value)
        if attribute not in (None, name):
            bindings = _shared(value, one)
        if bindings:
            place = value.place if _is_a(value, Task) else _place(module, name)
            yield Found(value=value, name=f"{module.__name__}.{name}", place=place, bindings=bindings)


def schedules_in(module: ModuleType) -> Iterator[tuple[str, Schedule]]:
    """Each schedule that the module has a name for, alone or in a list or tuple of them; with "file:line"."""
    for name, value in tuple(vars(module).items()):
        several = value if type(value) in (list, tuple) else (value,)
        if several and all(_is_a(each, Schedule) for each in several):
            yield from ((_place(module, name), each) for each in several)


def _bindings(value: Any) -> tuple[Binding, ...]:
    if _is_a(value, Binding):
        return (value,)
    if _is_a(value, Task):
        return () if value.is_part else (value.binding,)
    if _is_a(value, Chain):
        bindings: tuple[Binding, ...] = value.bindings
        return bindings
    if type(value) in (list, tuple) and all(_is_a(each, Binding) for each in value):
        return tuple(value)
    return ()


def _is_a(value: Any, kind: type) -> bool:
    """As isinstance, but runs no code of the value: a lazy object's `__class__` can raise anything."""
    return issubclass(type(value), kind)


def _shared(value: Any, one: Any) -> tuple[Binding, ...]:
    """The stages of the task `one`, if `value` is a chain with it."""
    if not (_is_a(value, Chain) and _is_a(one, Task)):
        return ()
    own = (one.stage.name, one.stage.queue)
    return tuple(it for it in value.bindings if (it.stage.name, it.stage.queue) == own)


def _place(module: ModuleType, name: str) -> str:
    """The module's file, and the line where the name is assigned, if there is one."""
    file = module.__file__ or ""
    try:
        lines = Path(file).read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return file
    assigned = re.compile(rf"(?:async def|def|class)?\s*{re.escape(name)}\b")
    return next((f"{file}:{number}" for number, line in enumerate(lines, 1) if assigned.match(line)), file)
