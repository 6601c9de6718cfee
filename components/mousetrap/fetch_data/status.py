"""Judges the status of an answer: read on, come back later, or give up."""

from email.utils import parsedate_to_datetime

import httpx

from mousetrap.earthquakes import FeedRefused, FeedUnavailable
from mousetrap.fetch_data.guard import shown

#: Request timeout, too early, too many requests; beside them every 5xx is the server's trouble, not ours.
_LATER = frozenset({408, 425, 429})
#: Seconds; we come back after an hour at most, however long a server sends us away.
_LONGEST = 3600.0


def check_status(response: httpx.Response) -> None:
    """Returns if the answer holds the feed. Raises FeedUnavailable or FeedRefused."""
    status = response.status_code
    where = shown(response.request.url)
    if status in _LATER or status >= 500:
        raise FeedUnavailable(
            f"{where} answered {status}: it cannot serve us now", retry_after(response.headers)
        )
    if status != 200:
        raise FeedRefused(f"{where} answered {status}, not 200: check the address")


def retry_after(headers: httpx.Headers) -> float | None:
    """The pause in seconds that the server asks for, given as a number or as a date; None if it asks for none.

    A date is taken against the answer's own Date, so that neither clock needs to be right.
    """
    asked = headers.get("Retry-After", "").strip()
    if asked.isascii() and asked.isdecimal():
        return min(float(asked), _LONGEST)
    try:
        pause = parsedate_to_datetime(asked) - parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(pause.total_seconds(), 0.0), _LONGEST)
