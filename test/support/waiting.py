"""Polls until a condition holds, with a timeout."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(condition: Callable[[], Found | None], what: str, seconds: float = 60.0) -> Found:
    """The first true value of `condition`; AssertionError that `what` did not happen once `seconds` are over.

    A minute by default: it costs nothing where the event comes, and a machine that does much else may stop for seconds.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:g} s still not: {what} (last seen: {found!r})")
        time.sleep(0.02)
    return found
