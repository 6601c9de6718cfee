"""Finds what is wrong with a cron expression or a zone."""

import re
from datetime import UTC, datetime
from functools import lru_cache

_FIELDS = "minute, hour, day of the month, month, day of the week"
#: A leap day comes again after eight years at the latest, and on one day of the week after forty.
_FROM = datetime(2024, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1_000)
def cron_fault(cron: object) -> str:
    """What is wrong with the expression, and how to correct it; empty where nothing is."""
    from cronsim import CronSim, CronSimError

    if not isinstance(cron, str):
        return f"cron is {cron!r}: give a text of five fields, as '30 2 * * *'"
    if len(cron.split()) != 5:
        return (
            f"cron is {cron!r}, of {len(cron.split())} fields: give five ({_FIELDS}), as '30 2 * * *'; for seconds, or for an "
            "@hourly, write every=timedelta(…)"
        )
    try:
        next(CronSim(cron, _FROM))
    except StopIteration:
        return (
            f"cron is {cron!r}, which never fires: give a date that exists, as '0 0 29 2 *' for each leap day"
        )
    except CronSimError as error:
        return _advice(cron, str(error))
    return ""


def _advice(cron: str, error: str) -> str:
    what = error.removeprefix("Bad ").replace("-", " ")
    if _never_fires(cron):
        return f"cron is {cron!r}, which never fires: no such month has that day; give a date that exists"
    return (
        f"cron is {cron!r}, whose {what} is wrong: minutes are 0-59, hours 0-23, days 1-31 or L, months 1-12 or JAN-DEC, days "
        "of the week 0-7 or SUN-SAT; * is all, */5 each fifth, 1-5 a range, 1,3 a list"
    )


def _never_fires(cron: str) -> bool:
    """Whether it is right but for its day, which no month has that it names."""
    from cronsim import CronSim, CronSimError

    minute, hour, day, _, weekday = cron.split()
    try:
        CronSim(f"{minute} {hour} {day} * {weekday}", _FROM)
        CronSim(f"{minute} {hour} 1 {cron.split()[3]} {weekday}", _FROM)
    except CronSimError:
        return False
    return True


#: Files of the database that are no places' zones: the machine's own, which another machine has otherwise, and counts of leap seconds.
_NO_ZONE = re.compile(r"localtime|posixrules|Factory|(?:posix|right)/.*")


@lru_cache(maxsize=1_000)
def zone_fault(tz: object) -> str:
    """What is wrong with the name of a zone, and how to correct it; empty where nothing is."""
    from zoneinfo import ZoneInfo

    try:
        is_zone = bool(ZoneInfo(tz).key) and not _NO_ZONE.fullmatch(str(tz))  # type: ignore[arg-type]
    except (KeyError, ValueError, TypeError, OSError):
        is_zone = False
    if not is_zone:
        return f"tz is {tz!r}, which is no zone of the IANA database: give its name there, as 'Europe/Berlin', or 'UTC'"
    return ""
