"""Polls until a condition holds, with a timeout."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
#: Seconds between two looks: few at first, then a twentieth of what was waited. Asked fifty times a second whether they are up again,
#: the nodes of a cluster lost a third of a core that they needed to start.
_SOON_S, _LATER_S, _SHARE = 0.02, 0.1, 0.05


def until(condition: Callable[[], Found | None], what: str, seconds: float = 60.0) -> Found:
    """The first true value of `condition`; AssertionError that `what` did not happen once `seconds` are over.

    A minute by default: it costs nothing where the event comes, and a machine that does much else may stop for seconds.
    """
    begin = time.monotonic()
    while not (found := condition()):
        waited = time.monotonic() - begin
        if waited > seconds:
            raise AssertionError(f"after {seconds:g} s still not: {what} (last seen: {found!r})")
        time.sleep(min(max(_SOON_S, waited * _SHARE), _LATER_S))
    return found
