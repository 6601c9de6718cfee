"""Compares thirty years of schedules in twenty zones with an oracle.

    PYTHONPATH=test .venv/bin/python development/schedule_years.py [--processes 2]

The oracle walks each minute: a quarter of an hour of CPU. CI compares the days around all clock changes, and a year of each zone.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import repeat

from mousetrap.schedules import Schedule, ticks_between
from support.oracle_of_ticks import WHOLE, ZONES, walked_ticks_of, walked_ticks_of_distances

_YEARS = range(2000, 2030)
#: A divisor of a day, an hour that is none, and more than a day; the anchor is at no full hour, and after most of the years.
_DISTANCES = (timedelta(minutes=15), timedelta(minutes=97), timedelta(hours=25))
_ANCHOR = datetime(2024, 3, 31, 1, 7, tzinfo=UTC)
_SPACED = "equal distances"

#: A schedule, and its ticks by the oracle.
_Walked = tuple[Schedule, Sequence[int]]


def main() -> int:
    """Prints a line for each zone as it is compared; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--processes", type=int, default=1, help="how many compare beside each other")
    compared = differ = 0
    with ProcessPoolExecutor(parser.parse_args().processes) as pool:
        for place in (_SPACED, *ZONES):
            found = list(pool.map(_compared, repeat(place), _YEARS))
            wrong = [line for _, differing in found for line in differing]
            count = sum(ticks for ticks, _ in found)
            print(
                f"{place}: {len(found)} years, {count:,} ticks, {len(wrong)} differ",
                *wrong,
                sep="\n  ",
                flush=True,
            )
            compared, differ = compared + count, differ + len(wrong)
    print(f"{len(ZONES)} zones, {len(_YEARS)} years, {compared:,} ticks, {differ} differ")
    return 1 if differ else 0


def _compared(place: str, year: int) -> tuple[int, list[str]]:
    """How many ticks the oracle has in a year of a zone, or of equal distances, and which schedules have others."""
    begin, end = (datetime(at, 1, 1, tzinfo=UTC) for at in (year, year + 1))
    walked = _walked_distances(begin, end) if place == _SPACED else _walked_zone(place, begin, end)
    first_ms, last_ms = (int(at.timestamp()) * 1000 - 1 for at in (begin, end))
    wrong = [
        f"{schedule.cron or schedule.every} in {year}"
        for schedule, ticks in walked
        if list(ticks_between(schedule, first_ms, last_ms)) != ticks
    ]
    return sum(len(ticks) for _, ticks in walked), wrong


def _walked_zone(tz: str, begin: datetime, end: datetime) -> Sequence[_Walked]:
    walked = walked_ticks_of(WHOLE, tz, begin, end)
    return [
        (Schedule("compared", pipeline="papers", cron=cron, tz=tz), ticks) for cron, ticks in walked.items()
    ]


def _walked_distances(begin: datetime, end: datetime) -> Sequence[_Walked]:
    schedules = [Schedule("compared", pipeline="papers", every=every, anchor=_ANCHOR) for every in _DISTANCES]
    return [(it, walked_ticks_of_distances(it.every, it.anchor, begin, end)) for it in schedules if it.every]


if __name__ == "__main__":
    sys.exit(main())
