"""Measures memory and start time of the API and the workers."""

import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks.bench import Bench
from benchmarks.contenders import HERE, OURS
from benchmarks.figures import Figure, Shown, cell, some
from benchmarks.footprint import memory
from benchmarks.http_rate import RUNS, serving
from support.processes import Process, clean_environment

ABOUT = """The API as in “Runs started by HTTP”: idle once it is ready, loaded after seconds of as many runs as it takes. Import is
`import` alone in a new interpreter, less what an interpreter takes that imports nothing. What workers hold is listed with the
measures above, beside the peers'."""

MEMORY, IMPORT, START = "Memory of the API", "Seconds of an import", "Seconds until the API is ready"
API = "mousetrap.api"
_IMPORTED = (API, "mousetrap.fetch_worker", "mousetrap.process_worker")


def measure(bench: Bench) -> Iterator[Figure]:
    """Each round starts the API again."""
    for number in bench.numbered(min(3, bench.rounds)):
        nothing = _seconds("pass")
        for name in _IMPORTED:
            yield Figure(IMPORT, name, "s", _seconds(f"import {name}") - nothing, "s", number)
        with bench.place(OURS) as place:
            began = time.monotonic()
            with serving(bench, place) as server:
                yield Figure(START, API, "s", time.monotonic() - began, "s", number)
                idle = memory(server.pid)
                server.load(RUNS, 0.5 if bench.quick else 3.0)
                loaded = memory(server.pid)
        yield Figure(MEMORY, API, "idle", idle, "MiB", number)
        yield Figure(MEMORY, API, "loaded", loaded, "MiB", number)
        bench.log(f"round {number}: the API holds {idle:.0f} MiB idle, {loaded:.0f} MiB loaded")


def shown(figures: Sequence[Figure]) -> list[Shown]:
    """How long the API takes to import."""
    seconds = cell(figure.value for figure in some(figures, IMPORT, "s", [API]))
    return [Shown("seconds to import the API", "below 1", seconds)]


def _seconds(code: str) -> float:
    """How long a new interpreter takes for it."""
    environment = clean_environment(PYTHONPATH=str(HERE.parent))
    began = time.monotonic()
    with Process([sys.executable, "-c", code], environment) as process:
        process.wait()
        return time.monotonic() - began
