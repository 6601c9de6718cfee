"""Splits a body into lines, in bounded memory: pure."""

from typing import NamedTuple


class Line(NamedTuple):
    """A line that is not blank, without its end."""

    #: From 1; blank lines count.
    number: int
    #: None for a line that is longer than allowed.
    text: bytes | None


class Lines:
    """The lines of a body that comes in parts. It keeps at most one unfinished line, and never more of it than is allowed."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._rest = bytearray()
        self._too_long = False
        #: How many lines have ended.
        self.count = 0

    def feed(self, part: bytes) -> list[Line]:
        """The lines that end in this part."""
        first, *others = part.split(b"\n")
        self._add(first)
        found = []
        for text in others:
            found.append(self._ended())
            self._add(text)
        return [line for line in found if line]

    def end(self) -> list[Line]:
        """The last line, where the body did not end it."""
        line = self._ended() if self._rest or self._too_long else None
        return [line] if line else []

    def _add(self, text: bytes) -> None:
        # Appended to one array, not joined each time: a line in a million parts would be copied as often.
        if self._too_long or len(self._rest) + len(text) > self._most:
            self._too_long = True
            self._rest.clear()
        else:
            self._rest += text

    def _ended(self) -> Line | None:
        self.count += 1
        text = None if self._too_long else bytes(self._rest)
        self._rest.clear()
        self._too_long = False
        return Line(self.count, text) if text is None or text.strip() else None
