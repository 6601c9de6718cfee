"""Finds the server of a key in a cluster."""

from binascii import crc_hqx
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from mousetrap.store_client.connection import Command, Word

#: Slots of every cluster.
SLOTS = 16_384
#: Commands of ours that name no key. All others but FCALL have it as their first argument.
_KEYLESS = frozenset(("TIME", "INFO", "PUBLISH", "FUNCTION", "CONFIG", "PING"))


class Place(NamedTuple):
    """Where a server of a cluster listens."""

    host: str
    port: int


class SlotMap:
    """Which primary has which slots, as one server of the cluster knew it."""

    def __init__(self, ranges: Sequence[tuple[int, int, Place]]) -> None:
        self._ranges = sorted(ranges)
        self._starts = [start for start, *_ in self._ranges]
        self.primaries = tuple(dict.fromkeys(place for *_, place in self._ranges))

    @classmethod
    def read(cls, reply: Any, asked: Place) -> "SlotMap":
        """The reply to CLUSTER SLOTS; a server that does not know its own host is where it was `asked`."""
        return cls(
            [
                (start, end, Place(primary[0].decode() if primary[0] else asked.host, primary[1]))
                for start, end, primary, *_ in reply
            ]
        )

    def primary_of(self, slot: int) -> Place | None:
        """None while no server has the slot."""
        at = bisect_right(self._starts, slot) - 1
        if at < 0 or self._ranges[at][1] < slot:
            return None
        return self._ranges[at][2]


def key_of(command: Command) -> Word | None:
    """The key that decides where a command of ours goes; None where any server will do."""
    if command[0] in _KEYLESS:
        return None
    if command[0] == "FCALL":
        return command[3] if command[2] else None
    return command[1]


def slot_of(key: Word) -> int:
    """The slot of a key: of the part between its first braces, where it has one."""
    raw = key.encode() if isinstance(key, str) else bytes(key)  # type: ignore[arg-type]  # no key is a number
    begin = raw.find(b"{")
    end = raw.find(b"}", begin + 1) if begin >= 0 else -1
    return crc_hqx(raw[begin + 1 : end] if end > begin + 1 else raw, 0) % SLOTS
