"""Reads spans of time as people write them: `90s`, `5m`, `2h`, `3d`, or a plain number of seconds."""

import re

from mousetrap.api_client import Misused

_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds(option: str, text: str) -> float:
    """The span in seconds. Raises Misused, naming the option that it was given with."""
    read = _SPAN.fullmatch(text)
    if read is None:
        raise Misused(f"{option} {text}: write a span of time as 90s, 5m, 2h or 3d")
    return float(read[1]) * _SECONDS[read[2]]
