"""Judges a response's status: read on, try later, or give up."""

from email.utils import parsedate_to_datetime

import httpx

from mousetrap.earthquakes import FeedRefused, FeedUnavailable
from mousetrap.fetch_data.guard import shown

#: Request timeout, too early, too many requests: worth another try, as is every 5xx.
_LATER = frozenset({408, 425, 429})
#: The longest Retry-After that is obeyed.
_MAX_RETRY_AFTER_S = 3600.0


def check_status(response: httpx.Response) -> None:
    """Returns if the response contains the feed. Raises FeedUnavailable or FeedRefused."""
    status = response.status_code
    where = shown(response.request.url)
    if status in _LATER or status >= 500:
        raise FeedUnavailable(
            f"{where} answered {status}: it cannot serve the feed now", retry_after(response.headers)
        )
    if status != 200:
        raise FeedRefused(f"{where} answered {status}, not 200: check the address")


def retry_after(headers: httpx.Headers) -> float | None:
    """The Retry-After of a response in seconds, sent as a number or as a date; None without one.

    A date is compared with the response's own Date, so that neither clock needs to be right.
    """
    header = headers.get("Retry-After", "").strip()
    if header.isascii() and header.isdecimal():
        return min(float(header), _MAX_RETRY_AFTER_S)
    try:
        pause = parsedate_to_datetime(header) - parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(pause.total_seconds(), 0.0), _MAX_RETRY_AFTER_S)
