"""Writes a zone of its own into a small zone database."""

import struct
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

ZONE = "Test/Capital"
_HOUR_S = 3_600
#: Puts another zone database in place: the zone is an hour ahead of UTC, and so many from a moment on.
Update = Callable[[int, datetime | None], None]


@contextmanager
def zones_in(folder: Path) -> Iterator[Update]:
    """Reads zones from this folder alone. An update forgets those that were read, too, as a start of the API does."""
    file = folder / ZONE
    file.parent.mkdir()

    def update(hours: int, at: datetime | None) -> None:
        file.write_bytes(_zone(hours, at))
        zoneinfo.ZoneInfo.clear_cache()

    zoneinfo.reset_tzpath(to=[str(folder)])
    try:
        yield update
    finally:
        zoneinfo.reset_tzpath()
        zoneinfo.ZoneInfo.clear_cache()


def _zone(hours: int, at: datetime | None) -> bytes:
    """A file of the zone database, in its first format."""
    kinds = struct.pack(">lbB", _HOUR_S, 0, 0) + struct.pack(">lbB", hours * _HOUR_S, 0, 0)
    moments = [] if at is None else [int(at.timestamp())]
    counts = struct.pack(">6l", 0, 0, 0, len(moments), 2, 4)
    changes = struct.pack(f">{len(moments)}l", *moments) + bytes([1] * len(moments))
    return b"TZif" + bytes(16) + counts + changes + kinds + b"TST\0"
