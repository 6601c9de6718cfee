"""Reads fields from the store, and lists unreadable ones without failing."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from mousetrap.store_client import ReplyError

Kind = TypeVar("Kind")

#: Levels of a JSON value. A deeper one cannot be shown: the API's own encoder ends at 255.
_DEEPEST = 200
#: Characters of a note.
_LONGEST = 300
#: What decoding may raise for bytes of any origin.
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Fields:
    """The fields of a hash or of a stream's entry; `faults` lists those whose value could not be read, and why."""

    def __init__(self, fields: Mapping[bytes, bytes]) -> None:
        self._fields = fields
        self.faults: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        """The text of a field; with `default` the field may be missing."""
        raw = self._fields.get(name.encode())
        if raw is None:
            if default is None:
                self.fault(name, "it is missing")
            return default or ""
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.fault(name, "it is not UTF-8")
            return raw.decode(errors="replace")

    def number(self, name: str, default: int | None = None) -> int:
        """The whole number of a field; 0 where it is none. With `default` the field may be missing."""
        raw = self._fields.get(name.encode())
        if raw is None:
            if default is None:
                self.fault(name, "it is missing")
            return default or 0
        # A number with more digits is no time and no count, and no client could read it.
        if raw.isdigit() and len(raw) <= 15:
            return int(raw)
        self.fault(name, "it is no whole number")
        return 0

    def json(self, name: str, kind: type[Kind] | Any = Any) -> Kind | Any:
        """The JSON of a field as this kind; None where it is missing, empty or cannot be read."""
        value, fault = read_json(self._fields.get(name.encode()), kind)
        if fault:
            self.fault(name, fault)
        return value

    def fault(self, name: str, why: str) -> None:
        """Notes that a field cannot be read."""
        self.faults.append(f"{name}: {why}"[:_LONGEST])


def read_json(raw: bytes | msgspec.Raw | None, kind: Any = Any) -> tuple[Any, str | None]:
    """The value of a JSON text, and why there is none: exactly one of them is set, or none for no text."""
    if not raw:
        return None, None
    try:
        value = msgspec.json.decode(raw, type=kind)
    except _BROKEN as error:
        return None, str(error)
    if kind is Any and _is_deep(value, bytes(raw)):
        return None, f"it is nested more than {_DEEPEST} deep"
    return value, None


def is_damage(answer: object) -> bool:
    """Whether the reply means that a key is of another type than ours; raises any other error."""
    if not isinstance(answer, Exception):
        return False
    if isinstance(answer, ReplyError) and answer.code == "WRONGTYPE":
        return True
    raise answer


def _is_deep(value: Any, raw: bytes) -> bool:
    if raw.count(b"[") + raw.count(b"{") <= _DEEPEST:
        return False
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
