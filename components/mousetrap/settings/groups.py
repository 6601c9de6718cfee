"""Declares groups of settings, and reads several groups in one pass."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec.structs import FieldInfo, fields

from mousetrap.settings.convert import read
from mousetrap.settings.environment import SettingsWrong, variable


class SettingsGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the values of a group; every field has a default."""

    def __repr__(self) -> str:
        """Without values, for some are secrets."""
        return f"<{type(self).__name__}>"


T = TypeVar("T", bound=SettingsGroup)


@dataclass(frozen=True)
class Group(Generic[T]):
    """Settings that belong together: field `x` of prefix `mail` is the variable MOUSETRAP_MAIL_X.

    Declare it beside the code that uses it, and list it in the catalogue: then every process accepts and checks its variables.
    """

    prefix: str
    values: type[T]
    #: What a type cannot check, by field; each raises ValueError, with what to write instead.
    checks: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)
    #: Fields of several lines.
    lists: frozenset[str] = frozenset()

    @cached_property
    def fields(self) -> tuple[FieldInfo, ...]:
        """Looked up once: resolving the annotations is four fifths of what reading all settings costs."""
        return fields(self.values)


class Entry(NamedTuple):
    """One setting of a group."""

    group: Group[Any]
    field: FieldInfo


def entries(groups: Sequence[Group[Any]]) -> dict[str, Entry]:
    """Every setting of these groups by its name. Raises ValueError where two groups or two settings have the same."""
    prefixes = [group.prefix for group in groups]
    if twice := {prefix for prefix in prefixes if prefixes.count(prefix) > 1}:
        raise ValueError(f"two groups of settings have the prefix {twice.pop()!r}")
    found: dict[str, Entry] = {}
    for name, entry in _named(groups):
        if name in found:
            raise ValueError(f"two groups of settings declare {variable(name)}")
        found[name] = entry
    return found


def read_groups(texts: Mapping[str, str], groups: Sequence[Group[Any]]) -> dict[str, Any]:
    """The values of each group, by its prefix, from the texts by name. Raises SettingsWrong, a line for each wrong one."""
    known = entries(groups)
    given: dict[str, dict[str, Any]] = {group.prefix: {} for group in groups}
    wrong = []
    for name, text in texts.items():
        group, setting = known[name]
        try:
            given[group.prefix][setting.name] = _checked(group, setting, text)
        except ValueError as error:
            wrong.append(f"{variable(name)}: {error}")
    if wrong:
        raise SettingsWrong("\n".join(wrong))
    return {group.prefix: group.values(**given[group.prefix]) for group in groups}


def _named(groups: Sequence[Group[Any]]) -> Iterator[tuple[str, Entry]]:
    for group in groups:
        for setting in group.fields:
            yield "_".join(filter(None, (group.prefix, setting.name))), Entry(group, setting)


def _checked(group: Group[Any], setting: FieldInfo, text: str) -> Any:
    value = read(text, setting.type)
    if isinstance(value, str) and setting.name not in group.lists and len(value.splitlines()) > 1:
        raise ValueError("it has several lines: write one")
    if setting.name in group.checks:
        group.checks[setting.name](value)
    return value
