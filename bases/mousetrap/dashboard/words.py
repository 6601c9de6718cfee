"""Writes times, durations, numbers and addresses for people."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup

#: Where the API mounts the dashboard.
BASE = "/ui"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float | None) -> str:
    """A duration in one unit and at most three digits, as 4.12 s or 3 h."""
    if seconds is None:
        return ""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if 0 < seconds < 0.9995:
        return f"{_three(seconds * 1000)} ms"
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{_three(seconds / size)} {unit}"


def _three(number: float) -> str:
    if number >= 99.95:
        return f"{number:.0f}"
    return f"{number:.3g}"


def ago(ms: int | None, now_ms: int) -> str:
    """A moment from now, as `2 min ago` or `in 12 s`."""
    if ms is None:
        return ""
    seconds = (now_ms - ms) / 1000
    if abs(seconds) < 1:
        return "now"
    return f"{duration(_whole(seconds))} ago" if seconds > 0 else f"in {duration(_whole(-seconds))}"


def _whole(seconds: float) -> float:
    """As coarse as a reader wants it: 2 min and not 2.13 min."""
    size = next((size for size, _ in _UNITS if seconds >= size), 1)
    return float(int(seconds / size) * size)


def clock(ms: int | None) -> str:
    """A moment in UTC, as 2026-11-30 10:04:02.113."""
    return "" if ms is None else f"{_moment(ms):%Y-%m-%d %H:%M:%S}.{ms % 1000:03}"


def when(ms: int | None, now_ms: int) -> Markup:
    """The element of a moment; the script keeps its text true while the page is open."""
    if ms is None:
        return Markup("")
    return Markup('<time datetime="{}" title="{} UTC" data-ms="{}">{}</time>').format(
        f"{_moment(ms).isoformat()}", clock(ms), ms, ago(ms, now_ms)
    )


def _moment(ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, OSError, ValueError):  # from a damaged record
        return datetime.fromtimestamp(0, UTC)


def number(value: float | None) -> str:
    """A count with thousands apart, as 51,310."""
    if value is None:
        return ""
    if isinstance(value, int):  # of any size: that of a handler's progress may be no float
        return f"{value:,}"
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.3g}"


def short(name: str) -> str:
    """The beginning of an id that people compare by eye."""
    return name if len(name) <= 16 else f"{name[:12]}…"


def address(*parts: str) -> str:
    """A path of the API, or within the dashboard; each part is one segment, whatever is in it."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def url(*parts: str, **query: Any) -> str:
    """An address within the dashboard, as `address` makes it."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{BASE}{address(*parts)}{f'?{urlencode(given, doseq=True)}' if given else ''}"


#: JSON's readers have whole numbers up to here.
_LONGEST_NUMBER = 2**53


def typed_number(text: str) -> float | str:
    """The number that someone typed; the text where it is none, of which the API then writes what is wrong."""
    try:
        value = float(text)
    except ValueError:
        return text
    if not abs(value) < _LONGEST_NUMBER:  # as NaN, which JSON would have as null
        return text
    return int(value) if value.is_integer() else value
