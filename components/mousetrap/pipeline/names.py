"""Checks names that brokers, URLs and keys of the store hold."""

import re

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def check_name(what: str, name: str) -> None:
    """Raises ValueError for a name that a broker, a URL or a key could misread; `what` is the thing that has it."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{what} name {name!r}: use a-z, 0-9, _ and -, a letter first, at most 63 characters"
        )
