"""The time of one run after another on an idle worker: the median and the 99th of a hundred."""

import json
import statistics
from collections.abc import Iterator

from benchmarks.bench import Bench, DoesNotCount, Place
from benchmarks.contenders import Contender
from benchmarks.figures import Figure
from benchmarks.footprint import memory

ABOUT = """One run at a time, on one idle worker process; the time begins before the run is submitted. Peers' runs end when
the last handler has run. Ours end later, when the final commit is done and who waits for the run has been told; the row
“to the last handler” shows ours by the peers' measure."""

LATENCY, MEMORY = "Milliseconds of an idle run", "Memory of an idle worker"


def measure(bench: Bench) -> Iterator[Figure]:
    """All contenders in turns."""
    for number, contender in bench.turns(bench.rounds, bench.contenders):
        try:
            with bench.place(contender) as place:
                yield from _round(bench, contender, place, number)
        except DoesNotCount as error:
            bench.say(f"{contender.name}, latency, round {number} does not count: {error}")
            yield Figure(LATENCY, contender.name, "p50", None, "ms", number, str(error))


def _round(bench: Bench, contender: Contender, place: Place, number: int) -> Iterator[Figure]:
    runs = 50 if bench.quick else 300
    place.run("submit", "20")  # declares the queues and warms what needs it
    place.start_worker()
    place.until(20)
    yield Figure(MEMORY, contender.name, "idle", memory(place.workers[0].pid), "MiB", number)
    ends: dict[str, list[float]] = json.loads(place.run("latency", str(runs)))
    place.stop_workers()
    place.check_nothing_left()
    for end, took in ends.items():
        row = contender.name if len(ends) == 1 or end == "final commit" else f"{contender.name}, to the {end}"
        p50, p99 = statistics.median(took), statistics.quantiles(took, n=100)[98]
        bench.say(f"{row}, round {number}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        yield Figure(LATENCY, row, "p50", p50, "ms", number)
        yield Figure(LATENCY, row, "p99", p99, "ms", number)
