"""Measures the dashboard's pages, and what open ones cost."""

import json
import math
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html import unescape

import httpx

from benchmarks import growth, tabs
from benchmarks.bench import Bench
from benchmarks.contenders import HERE, OURS
from benchmarks.figures import Figure, Shown, cell, ratio, some
from benchmarks.footprint import cpu
from benchmarks.http_rate import RUNS, Server, serving
from benchmarks.place import DoesNotCount, Place
from support.processes import Process, clean_environment

ABOUT = """A store with 10,000 runs, 200 queues of 40 pipelines, 500 workers that beat, 50 dead letters and a fan-out of 10,000. The
pages are asked for in turns, 20 times each, by one who is signed in; the time is that of the whole request, and a page's first
look at queues and workers is in it wherever the one before is older than a second. The 200 tabs are 15 overviews, 15 lists of runs, 20
pipelines, 10 queues, 5 each of the lists of queues, pipelines, workers and dead letters, and 120 runs, of which 20 go on: the pages
of ended ones have no stream. “Quiet” is the API's CPU while only workers beat, “busy” while 10 runs a second are started: both less
what it takes without tabs. Runs are started by 50 callers as fast as they are accepted, with the dashboard, with the tabs, and
by an API without it (`MOUSETRAP_UI=false`)."""

PAGES, SIZES, TABS, RATES, CPU = (
    "Milliseconds of a page",
    "Kilobytes of a page",
    "Share of a core for 200 tabs",
    "Requests a second, with and without the dashboard",
    "CPU of a request, with and without the dashboard",
)
PLAIN, WITHOUT = "dashboard, no tab", "no dashboard"
WITH_TABS, AFTER_TABS = "200 tabs", "the same API, tabs closed"
_TIMES, _CALLERS, _BUSY = 20, 50, 10.0
_CONTENDER = replace(OURS, module="benchmarks.fleet")
_FAN = replace(OURS, module="benchmarks.our_graph")
#: Tabs by the name of their page.
_MIX = {"overview": 15, "runs": 15, "queues": 5, "pipelines": 5, "workers": 5, "dead letters": 5}
_PIPELINES, _QUEUES, _GO_ON, _ENDED = 20, 10, 20, 100
_STREAM = re.compile(r'"(/ui/live/[^"]*)"')


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is."""

    runs: int
    workers: int
    queues: int
    fan: int
    seconds: float


def measure(bench: Bench) -> Iterator[Figure]:
    """The pages, then the open ones, then what they cost others."""
    size = Size(1_000, 50, 20, 200, 1.0) if bench.quick else Size(10_000, 500, 200, 10_000, 20.0)
    with bench.place(_CONTENDER) as place:
        fill(bench, place, size)
        with with_workers(place, size), serving(bench, place) as server, signed_in(server) as client:
            found = find(server)
            for _ in bench.numbered(1):
                yield from _pages(bench, client, server, found)
            yield from _tabs(bench, client, server, found, size.seconds)
        # Both are new: one that has served pages holds more, which is not what is asked here.
        with serving(bench, place) as plain, serving(bench, place, MOUSETRAP_UI="false") as other:
            for each in (plain, other):
                each.load(RUNS, size.seconds / 20, callers=_CALLERS)  # warms
            for number in bench.numbered(min(4, bench.rounds)):
                yield from _rates(bench, plain, other, number)


def shown(figures: Sequence[Figure]) -> list[Shown]:
    """The worst page, the tabs, and the rates round by round."""
    slowest = [figure.value for figure in figures if figure.table == PAGES and figure.column == "p95"]
    largest = [figure.value for figure in figures if figure.table == SIZES]
    plain, without, with_tabs, after = (
        some(figures, CPU, "µs", [row]) for row in (PLAIN, WITHOUT, WITH_TABS, AFTER_TABS)
    )
    return [
        Shown("milliseconds of a page of the dashboard, p95", "each below 100", cell(slowest)),
        Shown("kilobytes of a page of the dashboard", "each below 100", cell(largest)),
        *(
            Shown(
                f"cores for 200 open pages, {row}",
                "below 0.2",
                cell(f.value for f in some(figures, TABS, "cores", [row])),
            )
            for row in ("quiet", "busy")
        ),
        Shown(
            "CPU of starting a run with the dashboard by that without it",
            "at most 1.03",
            ratio(plain, without),
        ),
        Shown("CPU of starting a run with 200 open pages by that with none", "", ratio(with_tabs, after)),
    ]


def fill(bench: Bench, place: Place, size: Size) -> None:
    """Puts in runs, dead letters and one fan-out; nothing of it is left to do but twenty runs."""
    place.run("submit", "200")
    place.run("spoil")
    with growth.beside(bench, place) as here:
        here.start_worker()
        here.until(lambda tally: tally.last_stage >= 200)
        here.stop_workers()
    place.run("fill-kept", str(size.runs))
    bench.log(f"{size.runs:,} runs are there")
    given = Place(_FAN, place.api, place.settings, place.folder)
    with growth.beside(bench, given) as here:
        here.run("submit", str(size.fan))
        here.start_worker()
        here.until(lambda tally: tally.last_stage >= 1)
        here.stop_workers()
    given.counts.close()
    place.run("submit", str(_GO_ON))
    bench.log(f"a fan-out of {size.fan:,} is there")


@contextmanager
def with_workers(place: Place, size: Size) -> Iterator[None]:
    """Has that many workers beat until the block ends."""
    command = [str(_CONTENDER.python), "-m", _CONTENDER.module, "beat", str(size.workers), str(size.queues)]
    with Process(command, clean_environment(**place.settings, PYTHONPATH=str(HERE.parent))) as process:
        process.wait_for_line(tabs.KNOWN)
        yield


@contextmanager
def signed_in(server: Server) -> Iterator[httpx.Client]:
    """Someone with all scopes."""
    url = f"http://127.0.0.1:{server.port}"
    with httpx.Client(base_url=url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=60) as client:
        answer = client.post("/ui/sign-in", data={"key": server.key})
        if answer.status_code != 303:
            raise DoesNotCount(f"signing in answered {answer.status_code}")
        yield client


@dataclass(frozen=True, slots=True)
class Found:
    """Addresses of pages, by their names and by their kinds."""

    pages: dict[str, str]
    pipelines: list[str]
    queues: list[str]
    ended: list[str]
    going_on: list[str]


def find(server: Server) -> Found:
    """What is there, as the API lists it."""
    headers = {"Authorization": f"Bearer {server.key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers=headers, timeout=60) as api:
        (fan,) = api.get("/runs", params={"pipeline": "fan"}).json()["runs"]
        ended, going_on = (
            [f"/runs/{run['id']}" for run in api.get("/runs", params=asked).json()["runs"]]
            for asked in (
                {"pipeline": "hops", "state": "completed", "limit": str(_ENDED)},
                {"pipeline": "hops", "state": "queued", "limit": str(_GO_ON)},
            )
        )
        letter = api.get("/dead", params={"limit": 1}).json()["letters"][0]
        worker = api.get("/workers").json()[0]["name"]
        pipelines = [f"/pipelines/{each['name']}" for each in api.get("/pipelines").json()]
        queues = [f"/queues/{each['name']}" for each in api.get("/queues").json()]
    one = f"/dead/{letter['queue']}/{letter['id']}"
    pages = {
        "overview": "/",
        "pipelines": "/pipelines",
        "pipeline": "/pipelines/fan",
        "pipeline, contracts": "/pipelines/fan?tab=contracts",
        "start a run": "/pipelines/fan/start",
        "runs": "/runs",
        "runs, failed": "/runs?state=failed",
        "cancel runs": "/runs/cancel?state=queued",
        "run": ended[0],
        "run that waits": going_on[0],
        "fan-out": f"/runs/{fan['id']}",
        **{
            f"fan-out, {tab}": f"/runs/{fan['id']}?tab={tab}" for tab in ("jobs", "result", "logs", "lineage")
        },
        "re-run": f"{ended[0]}/rerun",
        "cancel a run": f"{going_on[0]}/cancel",
        "dead letters": "/dead",
        "dead letter": one,
        "edit a letter": f"{one}/edit",
        "redrive letters": "/dead/redrive",
        "discard letters": "/dead/discard",
        "operations": "/operations",
        "queues": "/queues",
        "queue": "/queues/bench_child",
        "workers": "/workers",
        "worker": f"/workers/{worker}",
        "search": "/search?q=p1",
        "audit": "/audit",
        "about": "/about",
    }
    return Found(pages, pipelines, queues, ended, going_on)


def _pages(bench: Bench, client: httpx.Client, server: Server, found: Found) -> Iterator[Figure]:
    """Every page, in turns."""
    took: dict[str, list[float]] = {name: [] for name in found.pages}
    used, bytes_of = dict.fromkeys(found.pages, 0.0), dict.fromkeys(found.pages, 0)
    names = list(found.pages)
    for time_number in range(2 if bench.quick else _TIMES):
        turned = time_number * 7 % len(names)
        for name in names[turned:] + names[:turned]:
            before, began = cpu(server.pid), time.perf_counter()
            answer = client.get(f"/ui{found.pages[name]}")
            took[name].append((time.perf_counter() - began) * 1000)
            used[name] += cpu(server.pid) - before
            bytes_of[name] = max(bytes_of[name], len(answer.content))
            if answer.status_code != 200:
                raise DoesNotCount(f"{found.pages[name]} answered {answer.status_code}")
    for name, times in took.items():
        p95 = sorted(times)[math.ceil(len(times) * 0.95) - 1]
        median, kilobytes = statistics.median(times), bytes_of[name] / 1000
        mean = used[name] / len(times) * 1000
        bench.log(f"{name}: {median:.1f} ms, p95 {p95:.1f} ms, CPU {mean:.1f} ms, {kilobytes:.0f} kB")
        yield Figure(PAGES, name, "median", median, "ms", 1)
        yield Figure(PAGES, name, "p95", p95, "ms", 1)
        yield Figure(PAGES, name, "CPU", mean, "ms", 1)
        yield Figure(SIZES, name, "kB", kilobytes, "kB", 1)


def streams(client: httpx.Client, found: Found) -> list[str]:
    """The streams of all tabs, as their pages name them."""
    pages = [found.pages[name] for name, count in _MIX.items() for _ in range(count)]
    pages += found.pipelines[:_PIPELINES] + found.queues[:_QUEUES] + found.ended + found.going_on
    named = [_STREAM.search(client.get(f"/ui{page}").text) for page in pages]
    return [unescape(each[1]) for each in named if each]


@contextmanager
def opened(server: Server, client: httpx.Client, found: Found) -> Iterator[int]:
    """All tabs, until the block ends; how many streams they have."""
    paths = streams(client, found)
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    command = [sys.executable, "-m", tabs.__name__, str(server.port), cookie, json.dumps(paths)]
    with Process(command, clean_environment(PYTHONPATH=str(HERE.parent))) as process:
        process.wait_for_line(tabs.OPEN)
        yield len(paths)


def _tabs(
    bench: Bench, client: httpx.Client, server: Server, found: Found, seconds: float
) -> Iterator[Figure]:
    """What the tabs cost while little happens and while runs start, and what they cost those that start them."""
    without = {"quiet": _share(server, seconds), "busy": _share(server, seconds, _BUSY)}
    with opened(server, client, found) as count:
        time.sleep(seconds / 2)  # what is quiet is looked at every second at first
        for row, before in without.items():
            share = _share(server, seconds, _BUSY if row == "busy" else 0.0) - before
            bench.log(f"{row}: {share:.3f} cores for {count} streams, beside {before:.3f} without")
            yield Figure(TABS, row, "cores", share, "cores", 1)
            yield Figure(TABS, row, "without tabs", before, "cores", 1)
        yield from _rate(bench, WITH_TABS, server, 1)
    yield from _rate(bench, AFTER_TABS, server, 1)


def _share(server: Server, seconds: float, rate: float = 0.0) -> float:
    """CPU seconds of the API in a second, while runs start at that rate."""
    before, began = cpu(server.pid), time.monotonic()
    if rate:
        server.load(RUNS, seconds, rate=rate, callers=1)
    else:
        time.sleep(seconds)
    return (cpu(server.pid) - before) / (time.monotonic() - began)


def _rates(bench: Bench, server: Server, other: Server, number: int) -> Iterator[Figure]:
    """Runs a second with the dashboard and without it, in turns."""
    for row, each in [(PLAIN, server), (WITHOUT, other)][:: 1 if number % 2 else -1]:
        yield from _rate(bench, row, each, number)


def _rate(bench: Bench, row: str, server: Server, number: int) -> Iterator[Figure]:
    before = cpu(server.pid)
    answered = server.load(RUNS, 0.5 if bench.quick else 4.0, callers=_CALLERS)
    each = (cpu(server.pid) - before) / answered.count * 1e6
    bench.log(f"round {number}: {answered.rate:,.0f} runs/s, {each:.0f} µs of CPU each: {row}")
    yield Figure(RATES, row, "a second", answered.rate, "/s", number)
    yield Figure(CPU, row, "µs", each, "µs", number)
