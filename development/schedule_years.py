"""Compares thirty years of schedules in twenty zones with an oracle.

    PYTHONPATH=test .venv/bin/python development/schedule_years.py

The oracle walks each minute: half an hour of CPU. CI compares the days around all clock changes, and a year of each zone.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import product

from mousetrap.schedules import Schedule, ticks_between
from support.oracle_of_ticks import WHOLE, ZONES, walked_ticks

_YEARS = range(2000, 2030)


def main() -> int:
    """Prints what differs; 1 where anything does."""
    cases = list(product(ZONES, WHOLE, _YEARS))
    with ProcessPoolExecutor() as pool:
        wrong = [case for case, same in zip(cases, pool.map(_is_same, cases), strict=True) if not same]
    for tz, cron, year in wrong:
        print(f"{cron!r} in {tz} differs in {year}")
    print(f"{len(cases)} years compared, {len(wrong)} differ")
    return 1 if wrong else 0


def _is_same(case: tuple[str, str, int]) -> bool:
    tz, cron, year = case
    begin, end = (datetime(at, 1, 1, tzinfo=UTC) for at in (year, year + 1))
    schedule = Schedule("compared", pipeline="papers", cron=cron, tz=tz)
    first_ms, last_ms = (int(at.timestamp()) * 1000 - 1 for at in (begin, end))
    return list(ticks_between(schedule, first_ms, last_ms)) == walked_ticks(cron, tz, begin, end)


if __name__ == "__main__":
    sys.exit(main())
