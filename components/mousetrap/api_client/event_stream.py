"""Reads server-sent events from the lines of a response."""

from collections.abc import Iterable, Iterator


def lines_of(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a response, without their ends. Only a line feed ends one: JSON may hold U+0085 or U+2028 as it is."""
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.removesuffix(b"\r") for line in lines)
    if rest:
        yield rest


def read_events(lines: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    """Each event's kind and data. One that the connection's end cut short is left out, as the standard has it."""
    kind, data = "message", list[bytes]()
    for line in lines:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                yield kind, b"\n".join(data)
            kind, data = "message", []
        elif field == b"event":
            kind = value.decode(errors="replace")
        elif field == b"data":
            data.append(value)
