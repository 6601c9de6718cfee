"""Tests the weather's work in milliseconds, with the kit alone."""

import re
import sys
from pathlib import Path

import httpx
import pytest

from mousetrap.retry import Outage
from mousetrap.testing import Flaky, World, perform, run
from support.processes import Process, clean_environment
from weather import stations, work

_ROOT = Path(__file__).parents[2]

#: Addresses that a client without a network answers.
URLS = [f"http://stations.example/{name}" for name in stations.names()]


def answer(request: httpx.Request) -> httpx.Response:
    name = request.url.path.removeprefix("/")
    return (
        httpx.Response(200, text=stations.text_of(name)) if name in stations.names() else httpx.Response(404)
    )


@pytest.fixture
def deps() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


def test_the_stations_are_compared(deps: httpx.AsyncClient) -> None:
    result = run(work.BINDINGS, work.Request(URLS), deps=deps)

    assert [line.name for line in result.stations] == [
        "seattle-days-2012",
        "seattle-hours-2010",
        "san-francisco-hours-2010",
    ]
    assert [line.days for line in result.stations] == [366, 365, 365]
    assert result.lost == 0


def test_a_station_is_read_by_its_first_line() -> None:
    assert work.read_station("a", "date,low,high\n2012/01/01,-1,3\n") == work.Days(
        "a", [work.Day("2012/01/01", -1, 3)]
    )


@pytest.mark.parametrize(
    "text",
    [
        "<html>",
        "",
        "date,low,high\n",
        "time,fahrenheit\n2010/01/01 00:00\n",
        "date,low,high\n2012/01/01,-1,warm\n",
    ],
)
def test_a_file_that_is_none_of_a_station_is_refused(text: str) -> None:
    with pytest.raises(work.StationRefused, match="a: "):
        work.read_station("a", text)


@pytest.mark.parametrize("url", ["ftp://stations.example/a.csv", "stations.example/a.csv", "http://a:port/"])
def test_an_address_that_cannot_be_fetched_is_refused_and_not_waited_for(url: str) -> None:
    with pytest.raises(work.StationRefused):
        perform(work.BINDINGS[1], work.Station(url, ""), deps=httpx.AsyncClient(trust_env=False))


def test_degrees_are_celsius() -> None:
    line = perform(
        work.BINDINGS[2], work.Hours("a", [("2010/01/01 00:00", 32.0), ("2010/01/01 01:00", 50.0)])
    )

    assert (line.coldest, line.hottest) == (0.0, 10.0)


async def test_one_that_is_not_there_is_a_dead_letter_and_the_others_are_compared(
    world: World, deps: httpx.AsyncClient
) -> None:
    world.serve(work.BINDINGS, deps=deps)
    ran = await world.submit(work.WEATHER, work.Request([*URLS, "http://stations.example/moon.csv"]))

    await world.settle()

    assert (ran.state, ran.result.lost) == ("completed", 1)
    assert [letter.reason for letter in world.dead()] == ["not-retryable"]


async def test_a_host_that_is_away_for_an_hour_costs_no_attempt(world: World) -> None:
    away = Flaky(
        fails=40, error=Outage("the host is away"), then=work.Days("a", [work.Day("2012/01/01", 1, 2)])
    )
    world.serve(work.BINDINGS, handlers={"fetch": away})
    ran = await world.submit(work.WEATHER, work.Request(URLS[:1]))

    await world.settle()

    assert world.time > 3_600
    assert {event.attempt for event in ran.timeline if event.stage == "fetch"} <= {None, 1}
    assert ran.result.stations[0].days == 1


@pytest.mark.servers
@pytest.mark.slow
def test_one_command_runs_it_on_either_queue_and_from_a_schedule(queue_url: str) -> None:
    on_rabbitmq = {"MOUSETRAP_BROKER_URL": queue_url} if queue_url.startswith("amqp") else {}
    environment = clean_environment(PYTHONPATH=f"{_ROOT}/development", **on_rabbitmq)

    with Process([sys.executable, "-m", "weather"], environment, _ROOT) as ran:
        assert ran.wait(180) == 0, ran.output

    assert '"lost": 0' in ran.output
    assert '"san-francisco-hours-2010"' in ran.output
    assert re.search(r"run \w+ is started", ran.output)


def test_the_page_shows_the_code_that_runs() -> None:
    page = (_ROOT / "docs/weather.md").read_text()
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)

    assert len(blocks) == page.count("```python") == 6
    assert [code for file, code in blocks if code.strip() not in (_ROOT / file).read_text()] == []
