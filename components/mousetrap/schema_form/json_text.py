"""Reads and writes JSON whose numbers stay as they were written."""

import json
import re
from typing import Any

import msgspec

#: No value; None is null.
MISSING: Any = object()

#: Lists and objects within each other up to which a text is indented. Each level makes all lines in it longer: of a text
#: that is nothing but brackets, 900 deep, two kilobytes become 1.6 megabytes.
_MOST_INDENTED = 16
_MARKS = re.compile(rb'[\[{]|[\]}]|"[^"\\]*(?:\\.[^"\\]*)*"')

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def parse(raw: bytes) -> Any:
    """The value; numbers in it are msgspec.Raw, digit by digit. Raises ValueError for what is no JSON."""
    try:
        msgspec.json.format(raw)  # stricter than what follows: NaN, half a surrogate
        return json.loads(raw, parse_int=_number, parse_float=_number)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(
            str(error) if isinstance(error, msgspec.DecodeError) else "nested too deep"
        ) from None


def compact(value: Any) -> str:
    """The value as JSON on one line."""
    return msgspec.json.encode(value).decode()


def pretty(value: Any) -> str:
    """The value as JSON for people."""
    return indented(msgspec.json.encode(value))


def indented(raw: bytes) -> str:
    """The JSON in indented lines, or on one line where it is nested deep. Raises what msgspec raises for what is no JSON."""
    on_one_line = msgspec.json.format(raw, indent=-1)
    return (on_one_line if _is_deep(on_one_line) else msgspec.json.format(raw, indent=2)).decode()


def _is_deep(raw: bytes) -> bool:
    depth = 0
    for found in _MARKS.finditer(raw):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(found[0], 0)
        if depth > _MOST_INDENTED:
            return True
    return False


def number(text: str) -> msgspec.Raw | None:
    """The number that the text is, as it is written; None if it is none."""
    return msgspec.Raw(text.encode()) if _NUMBER.fullmatch(text) else None


def text_of(value: Any) -> str | None:
    """The digits of a number that was read; None for any other value."""
    return bytes(value).decode() if isinstance(value, msgspec.Raw) else None


def exact(value: Any) -> Any:
    """A value of a schema, with its numbers as `parse` gives them."""
    return parse(msgspec.json.encode(value))


def _number(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())
