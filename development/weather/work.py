"""Compares weather stations: fetched at once, read by their kind, joined.

`make weather` runs it from start to end; docs/weather.md explains each part.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from mousetrap.handlers import Binding, Context, no_dependencies
from mousetrap.pipeline import All, AnyOf, AtMost, Each, Gathered, Keyed, Many, Pipeline, Stage
from mousetrap.retry import Outage, RetryPolicy

#: Of one station; a worker that waits longer is asked to end the attempt.
_TIMEOUT_S = 20.0


class Request(msgspec.Struct, frozen=True):
    """Which stations to compare."""

    urls: list[str]


class Station(msgspec.Struct, frozen=True):
    """One to fetch; its host is what the limit goes by."""

    url: str
    host: str


class Hours(msgspec.Struct, frozen=True, tag="hours"):
    """A station that reports each hour, in degrees Fahrenheit. A year is 200 kB, so it travels by reference."""

    name: str
    readings: list[tuple[str, float]]


class Day(msgspec.Struct, frozen=True, array_like=True):
    """The lowest and the highest of a day, in degrees Celsius."""

    date: str
    low: float
    high: float


class Days(msgspec.Struct, frozen=True, tag="days"):
    """A station that reports each day."""

    name: str
    days: list[Day]


class Line(msgspec.Struct, frozen=True):
    """What is compared of a station."""

    name: str
    days: int
    coldest: float
    hottest: float
    frost_days: int


class Comparison(msgspec.Struct, frozen=True):
    """The result, the coldest station first."""

    stations: list[Line]
    #: How many could not be had.
    lost: int


class StationRefused(Exception):
    """No such address or file, or the file is none of a station: another attempt gives the same."""


WEATHER = Pipeline(
    name="weather",
    description="Compares a year of weather stations.",
    stages=(
        Stage(name="list", queue="weather_list", input=Request, output=Many[Station]),
        Stage(
            name="fetch",
            queue="weather_fetch",
            input=Station,
            output=Hours | Days,
            after=Each("list"),
            limit=AtMost(2, per="host"),
            retry=RetryPolicy(attempts=4, base=0.5, dont_retry_on=(StationRefused,)),
            timeout=_TIMEOUT_S,
        ),
        Stage(name="hours", queue="weather_hours", input=Hours, output=Line, after="fetch"),
        Stage(name="days", queue="weather_days", input=Days, output=Line, after="fetch"),
        Stage(
            name="compare",
            queue="weather_compare",
            input=Gathered[Line],
            output=Comparison,
            after=All(AnyOf("hours", "days"), need=0.5),
        ),
    ),
)


@asynccontextmanager
async def open_http() -> AsyncIterator[httpx.AsyncClient]:
    """One client for all fetches of a worker."""
    async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
        yield client


def list_stations(request: Request) -> Iterator[Keyed[Station]]:
    for url in dict.fromkeys(request.urls):
        yield Keyed(url, Station(url, urlsplit(url).hostname or ""))


async def fetch(station: Station, context: Context[httpx.AsyncClient]) -> Hours | Days:
    """Raises Outage while the host is away, which uses no attempt up."""
    try:
        response = await context.deps.get(station.url)
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise StationRefused(f"{station.url}: {error}") from error
    except httpx.TransportError as error:
        raise Outage(f"{station.host} is away: {type(error).__name__}") from error
    if response.is_client_error:
        raise StationRefused(f"{station.url}: {response.status_code}")
    response.raise_for_status()
    return read_station(station.url.rpartition("/")[2].partition(".")[0], response.text)


def read_station(name: str, text: str) -> Hours | Days:
    """The readings of a file; its first line has its kind. Raises StationRefused."""
    head, *lines = text.splitlines() or [""]
    rows = [line.split(",") for line in lines]
    try:
        match head:
            case "time,fahrenheit" if rows:
                return Hours(name, [(time, float(degrees)) for time, degrees in rows])
            case "date,low,high" if rows:
                return Days(name, [Day(date, float(low), float(high)) for date, low, high in rows])
    except ValueError as error:
        raise StationRefused(f"{name}: a row is no reading: {error}") from error
    raise StationRefused(f"{name}: its first line is {head[:40]!r}, and {len(rows)} follow")


def sum_up_hours(hours: Hours) -> Line:
    by_day: dict[str, list[float]] = {}
    for time, fahrenheit in hours.readings:
        by_day.setdefault(time[:10], []).append((fahrenheit - 32) / 1.8)
    days = [Day(date, min(readings), max(readings)) for date, readings in by_day.items()]
    return sum_up_days(Days(hours.name, days))


def sum_up_days(station: Days) -> Line:
    return Line(
        name=station.name,
        days=len(station.days),
        coldest=round(min(day.low for day in station.days), 1),
        hottest=round(max(day.high for day in station.days), 1),
        frost_days=sum(day.low < 0 for day in station.days),
    )


def compare(stations: Gathered[Line]) -> Comparison:
    return Comparison(sorted(stations.values(), key=lambda line: line.coldest), stations.lost)


HANDLERS: dict[str, Callable[..., Any]] = {
    "list": list_stations,
    "fetch": fetch,
    "hours": sum_up_hours,
    "days": sum_up_days,
    "compare": compare,
}
BINDINGS = [
    Binding(
        pipeline=WEATHER,
        stage=stage,
        handler=HANDLERS[stage.name],
        lifespan=open_http if stage.name == "fetch" else no_dependencies,
    )
    for stage in WEATHER.stages
]
