"""Measures runs a second over HTTP, beside an empty route."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import httpx

from benchmarks.bench import Bench
from benchmarks.contenders import HERE, OURS
from benchmarks.figures import Figure, Shown, ratio, some
from benchmarks.footprint import cpu
from benchmarks.http_load import Answered, Load
from benchmarks.http_server import EMPTY
from benchmarks.place import DoesNotCount, Place
from mousetrap.api_keys import new_key
from support.ports import free_ports
from support.processes import Process, clean_environment
from support.waiting import until

ABOUT = """One API process as it is deployed, with a key that every caller sends, signed messages and its log in a file; 200 callers
on connections that stay, from a process of their own. The empty route is an `async def` of FastAPI without arguments, in the same
server and behind the same middleware. The waits are at half the rate that the same round had reached, counted from when a request
was due. “Four callers” and “a batch” take turns: the same request on four connections, and one request of 10,000 lines.
“In one process” is a Python program that starts runs with `submit_run`, 200 at a time, without HTTP. The client's rows are an
`AsyncClient` over broker and store in one process: one run after another, 200 calls at once, and one call of `submit_many`. A figure
counts only if as many messages are queued as runs were accepted."""

RATES, WAITS, CPU = "Requests a second", "Milliseconds at half the rate", "CPU"
RUNS = "/pipelines/earthquakes/runs"
BATCH = "/pipelines/earthquakes/batch"
EMPTY_ROW, RUN_ROW, BATCH_ROW = "empty route", "a run", "a run, in one process"
FEW_ROW, LINES_ROW = "a run, four callers", "a run of a batch"
_CALLERS, _FEW = 200, 4
#: How a process of its own starts runs, in the words of `submits.py`, and how many: one after another, a tenth are enough.
_WAYS = {
    BATCH_ROW: ("plain", 10_000),
    "a run, by a client, one by one": ("one", 1_000),
    "a run, by a client, 200 at once": ("at once", 10_000),
    "a run of `submit_many`": ("many", 10_000),
}
_, ONE_ROW, AT_ONCE_ROW, MANY_ROW = _WAYS


def measure(bench: Bench) -> Iterator[Figure]:
    """The two routes in turns, on one server; then runs without HTTP."""
    seconds = 0.5 if bench.quick else 3.0
    with bench.place(OURS) as place, serving(bench, place) as server:
        for path in (EMPTY, RUNS):
            server.load(path, seconds)  # warms
        for number in bench.numbered(bench.rounds):
            yield from _round(bench, server, number, seconds)
            yield from _lines(bench, server, number, seconds)
            check_queued(place, server.accepted)
    for number in bench.numbered(bench.rounds):
        for row in list(_WAYS)[:: 1 if number % 2 else -1]:
            yield from _in_a_process(bench, row, number)


def shown(figures: Sequence[Figure]) -> list[Shown]:
    """A run beside what costs nothing but HTTP."""
    rows = (RUN_ROW, EMPTY_ROW, FEW_ROW, LINES_ROW, ONE_ROW, AT_ONCE_ROW, MANY_ROW)
    run, empty, few, lines, one, at_once, many = (some(figures, RATES, "a second", [row]) for row in rows)
    return [
        Shown("runs/s started by HTTP by the empty route's requests/s", "at least 0.57", ratio(run, empty)),
        Shown("runs/s of a batch by those of four callers", "at least 3", ratio(lines, few)),
        Shown("runs/s of a batch by those of 200 callers", "", ratio(lines, run)),
        Shown(
            "runs/s of `submit_many` by those of one `submit` after another", "at least 3", ratio(many, one)
        ),
        Shown("runs/s of `submit_many` by those of 200 `submit` at once", "", ratio(many, at_once)),
    ]


def _round(bench: Bench, server: "Server", number: int, seconds: float) -> Iterator[Figure]:
    rates = {}
    for row, path in [(EMPTY_ROW, EMPTY), (RUN_ROW, RUNS)][:: 1 if number % 2 else -1]:
        before = cpu(server.pid)
        answered = server.load(path, seconds)
        rates[row] = answered.rate
        yield Figure(RATES, row, "a second", answered.rate, "/s", number)
        yield Figure(CPU, row, "µs", (cpu(server.pid) - before) / answered.count * 1e6, "µs", number)
    bench.log(
        f"round {number}: {rates[RUN_ROW]:,.0f} runs/s, and {rates[EMPTY_ROW]:,.0f}/s of the empty route"
    )
    waited = server.load(RUNS, seconds, rate=rates[RUN_ROW] / 2)
    bench.log(f"round {number}: p50 {waited.p50:.1f} ms, p99 {waited.p99:.1f} ms at half that")
    yield Figure(WAITS, RUN_ROW, "p50", waited.p50, "ms", number)
    yield Figure(WAITS, RUN_ROW, "p99", waited.p99, "ms", number)


def _lines(bench: Bench, server: "Server", number: int, seconds: float) -> Iterator[Figure]:
    """Single runs on a few connections beside those of one batch."""
    lines = 1_000 if bench.quick else 10_000
    for row in [FEW_ROW, LINES_ROW][:: 1 if number % 2 else -1]:
        before = cpu(server.pid)
        if row == FEW_ROW:
            answered = server.load(RUNS, seconds, callers=_FEW)
            rate, count = answered.rate, answered.count
        else:
            rate, count = server.batch(lines), lines
        bench.log(f"round {number}: {rate:,.0f} runs/s, {row}")
        yield Figure(RATES, row, "a second", rate, "/s", number)
        yield Figure(CPU, row, "µs", (cpu(server.pid) - before) / count * 1e6, "µs", number)


def _in_a_process(bench: Bench, row: str, number: int) -> Iterator[Figure]:
    """One way of a program that starts runs by itself."""
    way, runs = _WAYS[row]
    with bench.place(OURS) as place:
        environment = clean_environment(**place.settings, PYTHONPATH=str(HERE.parent))
        arguments = [way, str(400 if bench.quick else runs)]
        found = json.loads(last_line([sys.executable, "-m", "benchmarks.submits", *arguments], environment))
        check_queued(place, found["submitted"])
    bench.log(f"round {number}: {found['rate']:,.0f} runs/s, {found['cpu_us']:.0f} µs of CPU each: {row}")
    yield Figure(RATES, row, "a second", found["rate"], "/s", number)
    yield Figure(CPU, row, "µs", found["cpu_us"], "µs", number)


def check_queued(place: Place, runs: int) -> None:
    """Raises DoesNotCount unless that many messages are in the queues."""
    queued = sum(place.waiting().values())
    if queued != runs:
        raise DoesNotCount(f"{queued} messages are queued of {runs} runs")


class Server:
    """An API under load."""

    def __init__(self, process: Process, port: int, key: str) -> None:
        self.pid = process.pid
        #: Runs that it has accepted.
        self.accepted = 0
        self.port = port
        self.key = key
        self._headers = {"Authorization": f"Bearer {key}"}

    def batch(self, lines: int) -> float:
        """Runs a second of one batch. Raises DoesNotCount when a line was refused."""
        arguments = [str(self.port), BATCH, self.key, str(lines)]
        environment = clean_environment(PYTHONPATH=str(HERE.parent))
        found = json.loads(
            last_line([sys.executable, "-m", "benchmarks.http_lines", *arguments], environment)
        )
        if found["accepted"] != lines:
            raise DoesNotCount(f"{found['accepted']} of {lines} lines were accepted")
        self.accepted += lines
        return float(found["rate"])

    def load(self, path: str, seconds: float, rate: float = 0.0, callers: int = _CALLERS) -> Answered:
        """What a client process of its own found. Raises DoesNotCount when something else than success was answered."""
        load = Load(self.port, path, seconds, callers, "{}", self._headers, rate)
        environment = clean_environment(PYTHONPATH=str(HERE.parent))
        command = [sys.executable, "-m", "benchmarks.http_load", json.dumps(asdict(load))]
        answered = Answered(**json.loads(last_line(command, environment)))
        if set(answered.statuses) - {"200", "202"}:
            raise DoesNotCount(f"{path} answered {answered.statuses}")
        self.accepted += answered.count if path == RUNS else 0
        return answered

    def ready(self) -> bool:
        """Whether broker and store answer it."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health/ready").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def serving(bench: Bench, place: Place, **settings: str) -> Iterator[Server]:
    """The API on a port of its own, with more settings where given."""
    key, entry = new_key("bench", ["run", "read", "operate"], os.urandom(32))
    (port,) = free_ports(1)
    environment = clean_environment(
        MOUSETRAP_BROKER_URL=place.settings["BENCH_BROKER"],
        MOUSETRAP_STORE_URL=place.settings["BENCH_STORE"],
        MOUSETRAP_SIGNING_KEYS="bench:a-secret-for-the-benchmark",
        MOUSETRAP_API_KEYS=entry,
        MOUSETRAP_API_PORT=str(port),
        PYTHONPATH=str(HERE.parent),
        **settings,
    )
    # Into a file: who reads a pipe would take part of the machine.
    log = 'exec "$0" -m benchmarks.http_server 2> "$1"'
    with Process(
        ["/bin/sh", "-c", log, sys.executable, str(place.folder / "api.log")], environment
    ) as process:
        server = Server(process, port, key)
        until(server.ready, "the API is ready", seconds=30)
        yield server
        process.terminate()


def last_line(command: list[str], environment: dict[str, str]) -> str:
    """What a program printed last. Raises DoesNotCount when it fails."""
    with Process(command, environment) as process:
        if process.wait(120) or not process.lines:
            raise DoesNotCount(process.output[-1000:])
        return process.lines[-1]
