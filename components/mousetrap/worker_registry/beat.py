"""Reads a worker from its last heartbeat."""

from dataclasses import fields

import msgspec

from mousetrap.shapes import BEAT_S, Beat, Worker

#: A worker is stale after three missing heartbeats.
STALE_S = 3 * BEAT_S


def read_worker(beat_json: bytes, *, started_ms: int, seen_ms: int, now_ms: int) -> Worker | None:
    """The worker as of `now_ms`; None if its heartbeat cannot be read."""
    try:
        beat = msgspec.json.decode(beat_json, type=Beat)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # A heartbeat from the future was sent before the clock was set back; a live worker sends another within seconds.
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
