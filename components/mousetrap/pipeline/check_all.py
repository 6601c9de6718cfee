"""Refuses what a join cannot mean: pure."""

import math
from datetime import timedelta
from typing import Any

#: Seconds; a hundred years.
_LONGEST_S = 100 * 365 * 86_400.0

#: A fan-out's jobs that a join may need at most: more than any run has, and what a store counts exactly.
_MOST_NEEDED = 10**9


def check_need(where: str, need: Any, *, is_join: bool) -> None:
    """Raises ValueError for what is no share and no number of jobs."""
    is_number = isinstance(need, int | float) and not isinstance(need, bool)
    if is_join and need is not True and need != 1.0:
        raise ValueError(
            f"{where}: need is {need!r}, and it joins stages that all run: leave it out, and write on_failure='skip' at a stage whose "
            "output may be null"
        )
    if is_number and isinstance(need, int) and need == 1 and not is_join:
        raise ValueError(
            f"{where}: need is 1, which is one job or all of them: write 1.0 for all, or a small share, as 0.000001, for any one"
        )
    if isinstance(need, float) and 1 < need < 10:  # 1.5 is no percentage
        advice = (
            f"write a whole number of jobs, as {math.ceil(need)}, or a share of them of at most 1.0, as 0.95"
        )
    elif isinstance(need, float) and 10 <= need <= 100:
        advice = f"write the share as {need / 100:g}, or a whole number of jobs as {math.ceil(need)}"
    else:
        advice = "write the share of the jobs that must be done, as 0.95, or a whole number of them, as 20"
    wrong = not is_number or need < 0 or (isinstance(need, float) and not need <= 1)
    if wrong or need > _MOST_NEEDED:
        raise ValueError(f"{where}: need is {need!r}: {advice}")


def check_within(where: str, within: Any, *, is_join: bool) -> None:
    """Raises ValueError for what is no time that jobs may take."""
    if within is not None and is_join:
        raise ValueError(
            f"{where}: within is {within!r}, and it joins stages that all run: leave it out, and give these stages a timeout"
        )
    if not isinstance(within, timedelta | None):
        is_number = isinstance(within, int | float) and not isinstance(within, bool)
        seconds = within if is_number and 0 < within < _LONGEST_S else 90
        raise ValueError(f"{where}: within is {within!r}: write within=timedelta(seconds={seconds!r})")  # noqa: TRY004
    if within is not None and not 0 < within.total_seconds() < _LONGEST_S:
        raise ValueError(
            f"{where}: within is {within.total_seconds():g} s: need more than 0 and less than a hundred years; leave it out for no end"
        )


def check_keep(where: str, keep: Any, *, is_join: bool) -> None:
    """Raises ValueError where it is no choice, or the outputs are taken."""
    if keep is not True and keep is not False:
        raise ValueError(
            f"{where}: keep is {keep!r}: write keep=False where the join takes counts alone, or leave it out"
        )
    if is_join and not keep:
        raise ValueError(
            f"{where}: keep is False, and it joins stages that all run, whose outputs it takes: leave it out"
        )
