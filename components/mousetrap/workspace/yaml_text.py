"""Adds lines to YAML texts, whose comments a parser would lose: pure."""

import re

from mousetrap.api_client import Misused


def before_service(text: str, service: str, block: str) -> str:
    """The text with `block` before the service and its comment."""
    lines = text.split("\n")
    place = _line_of(lines, f"  {service}:")
    while lines[place - 1].startswith("  #"):
        place -= 1
    return "\n".join([*lines[:place], *block.removesuffix("\n").split("\n"), *lines[place:]])


def with_line(text: str, line: str, *, after: str) -> str:
    """The text with this line right after the line `after`; the same text if it has the line."""
    lines = text.split("\n")
    if line in lines:
        return text
    place = 1 + _line_of(lines, after)
    return "\n".join([*lines[:place], line, *lines[place:]])


def with_name(text: str, name: str, *, before: str) -> str:
    """The text with `name` in the first list "[api, …, `before`]"; the same text if the list has it."""
    found = re.search(rf"\[api, (?:[\w-]+, )*{before}\]", text)
    if found is None:
        raise _unknown(f"[api, …, {before}]")
    if name in re.findall(r"[\w-]+", found[0]):
        return text
    return text.replace(found[0], found[0].replace(f"{before}]", f"{name}, {before}]"), 1)


def _line_of(lines: list[str], line: str) -> int:
    if line not in lines:
        raise _unknown(line)
    return lines.index(line)


def _unknown(line: str) -> Misused:
    return Misused(f"a file in deploy/ has no line {line!r}: it has another form than this command knows")
