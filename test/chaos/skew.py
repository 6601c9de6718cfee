"""Skews the wall clock of this process, as Python reads it."""

import time
from collections.abc import Mapping

_VARIABLE = "CHAOS_SKEW_S"

#: Seconds by which the wall clocks of a deployment's processes are ahead, in turn: more than anything is remembered.
SKEWS_S = (10_800.0, -10_800.0, 0.0)


def skewed(environment: Mapping[str, str], seconds: float) -> dict[str, str]:
    """The environment of a process that is to call `set_wrong`."""
    return {**environment, _VARIABLE: str(seconds)}


def set_wrong(environment: Mapping[str, str]) -> None:
    """To be called before anything reads the clock."""
    seconds, right = float(environment.get(_VARIABLE, "0")), time.time
    time.time = lambda: right() + seconds
    time.time_ns = lambda: int(time.time() * 1_000_000_000)
