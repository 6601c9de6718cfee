"""Polls until a condition holds, with a timeout."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(condition: Callable[[], Found | None], what: str, seconds: float = 10.0) -> Found:
    """The first true value of `condition`; AssertionError that `what` did not happen once `seconds` are over."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still not: {what}")
        time.sleep(0.02)
    return found
