"""Polls until a condition holds, with a timeout."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
#: Seconds between two looks: few at first, then a twentieth of what was waited. Asked fifty times a second whether they are up again,
#: the nodes of a cluster lost a third of a core that they needed to start.
_SOON_S, _LATER_S, _SHARE = 0.02, 0.1, 0.05
#: A look that asks servers for much takes at most a third of the time: between two, twice as long as one took, up to half a second.
_TIMES, _LONGEST_S = 2, 0.5


def until(condition: Callable[[], Found | None], what: str, seconds: float = 60.0) -> Found:
    """The first true value of `condition`; AssertionError that `what` did not happen once `seconds` are over.

    A minute by default: it costs nothing where the event comes, and a machine that does much else may stop for seconds.
    """
    begin = looked = time.monotonic()
    while not (found := condition()):
        now = time.monotonic()
        if now - begin > seconds:
            raise AssertionError(f"after {seconds:g} s still not: {what} (last seen: {found!r})")
        time.sleep(pause_s(now - begin, now - looked))
        looked = time.monotonic()
    return found


def pause_s(waited: float, took: float) -> float:
    """Seconds until the next look, after a wait of so many, of which the last look `took` some."""
    return max(min(max(_SOON_S, waited * _SHARE), _LATER_S), min(_TIMES * took, _LONGEST_S))
