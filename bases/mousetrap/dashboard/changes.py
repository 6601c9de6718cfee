"""Compares an edited input with the former one, line by line."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from itertools import islice

import msgspec

from mousetrap.schema_form import indented

#: Lines of a text that is compared: twice as many take four times as long; and lines that are shown.
_COMPARED, _SHOWN = 2_000, 200
_CONTEXT = 2
#: What a line of a comparison begins with.
_KINDS = {"+": "added", "-": "removed", " ": "same", "@": "gap"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the comparison."""

    #: added, removed, same, or gap for lines that are left out.
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What is other in an edited input."""

    lines: tuple[Line, ...]
    #: Whether there was no room for more of it, or no time.
    is_cut: bool
    #: A form that has it was sent after these changes were seen.
    mark: str


def changes(before: bytes, after: bytes) -> Changes:
    """What is other in `after`, both JSON."""
    one, other = _split(before), _split(after)
    if max(len(one), len(other)) > _COMPARED:
        return Changes((), True, mark_of(after))
    lines = [*islice(_lines(one, other), _SHOWN + 1)]
    return Changes(tuple(lines[:_SHOWN]), len(lines) > _SHOWN, mark_of(after))


def mark_of(text: bytes) -> str:
    """Names an input, so that another one is not sent unseen."""
    return hashlib.sha256(text).hexdigest()[:32]


def _split(text: bytes) -> Sequence[str]:
    """Its lines, indented; those that it has where it is no JSON, of which the API writes what is wrong."""
    try:
        return indented(text).splitlines()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text.decode(errors="replace").splitlines()


def _lines(one: Sequence[str], other: Sequence[str]) -> Iterator[Line]:
    # The first two lines name files.
    for number, line in enumerate(islice(unified_diff(one, other, lineterm="", n=_CONTEXT), 2, None)):
        kind = _KINDS[line[0]]
        if kind != "gap":
            yield Line(kind, line[1:])
        elif number:
            yield Line(kind, "")
