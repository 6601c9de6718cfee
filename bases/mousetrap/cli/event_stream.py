"""Reads server-sent events from the lines of a response."""

from collections.abc import Iterable, Iterator


def read_events(lines: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Each event's kind and data. One that the connection's end cut short is left out, as the standard has it."""
    kind, data = "message", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield kind, "\n".join(data).encode()
            kind, data = "message", []
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)
