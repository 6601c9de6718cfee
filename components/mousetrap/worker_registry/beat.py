"""Reads a worker from its last beat: pure."""

from dataclasses import fields

import msgspec

from mousetrap.shapes import BEAT_S, Beat, Worker

#: Seconds without a beat after which a worker counts as stale: three are missing.
STALE_S = 3 * BEAT_S


def read_worker(beat_json: bytes, *, started_ms: int, seen_ms: int, now_ms: int) -> Worker | None:
    """A worker at the time `now_ms` by its last beat; None where that cannot be read."""
    try:
        beat = msgspec.json.decode(beat_json, type=Beat)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # A beat from the future was sent before the clock was set back; a live worker beats again within seconds.
    silent = abs(now_ms - seen_ms) / 1000
    return Worker(
        **{
            **{field.name: getattr(beat, field.name) for field in fields(beat)},
            "state": "stale" if silent > STALE_S else beat.state,
        },
        started_ms=started_ms,
        seen_ms=seen_ms,
        silent=silent,
    )
