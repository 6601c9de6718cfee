"""Counts the attempts that ended in each minute of the last hour."""

from collections.abc import Iterable

from mousetrap.shapes import Minute

_MINUTE_MS, _MINUTES = 60_000, 60


def last_hour(minutes: Iterable[Minute], now_ms: int) -> list[int]:
    """By minute, the oldest first; the last one goes on, and has not all of its counts."""
    counts = [0] * _MINUTES
    first = now_ms // _MINUTE_MS - _MINUTES + 1
    for minute in minutes:
        place = minute.at_ms // _MINUTE_MS - first
        if 0 <= place < _MINUTES:
            counts[place] += minute.done + minute.retried + minute.failed
    return counts
