"""Reads server-sent events from the parts of a response."""

from collections.abc import Iterable, Iterator


def lines_of(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a response, without their ends. Only a line feed ends one: JSON may hold U+0085 or U+2028 as it is."""
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.removesuffix(b"\r") for line in lines)
    if rest:
        yield rest


class EventReader:
    """The events of a response that comes in parts. One that its end cuts short is left out, as the standard has it."""

    def __init__(self) -> None:
        self._rest = b""
        self._kind = "message"
        self._data: list[bytes] = []

    def feed(self, part: bytes) -> Iterator[tuple[str, bytes]]:
        """Kind and data of each event that ends in this part."""
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            yield from self._read(line.removesuffix(b"\r"))

    def _read(self, line: bytes) -> Iterator[tuple[str, bytes]]:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if self._data:
                yield self._kind, b"\n".join(self._data)
            self._kind, self._data = "message", []
        elif field == b"event":
            self._kind = value.decode(errors="replace")
        elif field == b"data":
            self._data.append(value)
