"""Reads which dead letters a page or a form is about."""

from collections.abc import Mapping
from typing import Any

from mousetrap.dashboard.view import Query

#: What letters are selected by, beside times.
_NAMES = ("queue", "stage", "reason", "error", "text", "run")
#: The choices of how far back to look.
SINCE_S: Mapping[str, int] = {"1h": 3_600, "24h": 86_400, "7d": 604_800}
#: All of them, by name.
CONDITIONS = (*_NAMES, "after_ms", "before_ms")
_MINUTE_MS = 60_000
#: A moment has at most so many digits, as in the API's own limit.
_DIGITS = 13


def letter_filter(query: Query, now_ms: int) -> dict[str, Any]:
    """The conditions in a query or a form, as the API takes them.

    `since` counts from the beginning of this minute: looks within a minute ask the same. A time that is none goes as it is, and
    the API refuses it: left out, it would select more letters than it was to.
    """
    found: dict[str, Any] = dict(query.given(*_NAMES, "after_ms", "before_ms"))
    for name in ("after_ms", "before_ms"):
        text = found.get(name, "")
        if text.isascii() and text.isdigit() and len(text) <= _DIGITS:
            found[name] = int(text)
    if since := query.one("since"):
        seconds = SINCE_S.get(since)
        found["after_ms"] = now_ms // _MINUTE_MS * _MINUTE_MS - seconds * 1000 if seconds else since
    return found


def selecting(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions of an act: it has to say so where there is none."""
    return dict(conditions) if conditions else {"all": True}
