"""Checks names and times where they are written."""

import re
from datetime import timedelta
from typing import Any

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def check_name(what: str, name: str) -> None:
    """Raises ValueError for a name that a broker, a URL or a key could misread; `what` is the thing that has it."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{what} name {name!r}: use a-z, 0-9, _ and -, a letter first, at most 63 characters"
        )


def check_seconds(where: str, what: str, seconds: Any) -> None:
    """Raises ValueError for a time that is no number of seconds, as a timedelta or a text."""
    if seconds is None or (isinstance(seconds, int | float) and not isinstance(seconds, bool)):
        return
    shown = f"{seconds.total_seconds():g}" if isinstance(seconds, timedelta) else "30.0"
    raise ValueError(f"{where}: {what} is {seconds!r}: write seconds, as {shown}, or leave it out for no end")
