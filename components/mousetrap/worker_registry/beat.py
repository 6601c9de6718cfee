"""Reads a worker from its last heartbeat."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import msgspec

from mousetrap.shapes import BEAT_S, Beat, Worker
from mousetrap.worker_registry.published import InUse

#: A worker is stale after three missing heartbeats.
STALE_S = 3 * BEAT_S
_NAMES = tuple(field.name for field in fields(Beat))


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
            **{name: getattr(beat, name) for name in _NAMES},
            "state": "stale" if silent > STALE_S else beat.state,
        },
        started_ms=started_ms,
        seen_ms=seen_ms,
        silent=silent,
    )


def read_in_use(
    workers: Mapping[bytes, Any], digests: Sequence[tuple[bytes, float]], now_ms: int
) -> tuple[InUse, ...]:
    """The manifests of `digests`, each with the time of its last beat, and the live ones of `workers` that have them.

    A worker's record is [digest, started_ms, seen_ms]. What cannot be read is left out, for anything can be in the store.
    """
    live: dict[bytes, list[tuple[int, str]]] = {}
    for name, record in workers.items():
        match record:
            case [bytes(digest), bytes(started), bytes(seen)] if _is_time(started) and _is_time(seen):
                if abs(now_ms - int(seen)) <= STALE_S * 1000:
                    live.setdefault(digest, []).append((int(started), name.decode(errors="replace")))
    return tuple(
        _in_use(digest.decode(errors="replace"), sorted(live.get(digest, ())), int(seen_ms))
        for digest, seen_ms in digests
    )


def _in_use(digest: str, live: Sequence[tuple[int, str]], seen_ms: int) -> InUse:
    return InUse(digest, tuple(name for _, name in live), live[-1][0] if live else 0, seen_ms)


def _is_time(text: bytes) -> bool:
    return text.isdigit() and len(text) <= 15
