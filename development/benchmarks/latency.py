"""Measures the time of one run on an idle worker."""

import json
import statistics
from collections.abc import Iterator, Sequence

from benchmarks.bench import TROUBLE, Bench, Place
from benchmarks.contenders import OURS, PEERS, Contender
from benchmarks.figures import Figure, Shown, ratio, some
from benchmarks.footprint import memory

ABOUT = """One run at a time, on one idle worker process; the time begins before the run is submitted. Peers' runs end when
the last handler has run. Ours end later, when the final commit is done and those who wait for the run have been notified; the row
“to the last handler” shows ours by the peers' measure."""

#: Runs that the submitter opens its connections with; they do not count.
_WARM = 10

LATENCY, MEMORY = "Milliseconds of an idle run", "Memory of an idle worker"


def measure(bench: Bench) -> Iterator[Figure]:
    """All contenders in turns."""
    for number, contenders in bench.turns(bench.rounds, bench.contenders):
        for contender in contenders:
            try:
                with bench.place(contender) as place:
                    yield from _round(bench, contender, place, number)
            except TROUBLE as error:
                bench.log(f"{contender.name}, latency, round {number} does not count: {error}")
                yield Figure(LATENCY, contender.name, "p50", None, "ms", number, str(error))


def shown(figures: Sequence[Figure]) -> list[Shown]:
    """Our ratio beside the quickest peer, and our slow runs beside our usual ones."""
    p50, p99 = (some(figures, LATENCY, column, [OURS.name]) for column in ("p50", "p99"))
    peers = some(figures, LATENCY, "p50", PEERS)
    memory_of = {name: some(figures, MEMORY, "idle", [name]) for name in (OURS.name, "dramatiq")}
    return [
        Shown("p50 of an idle run by the quickest peer's", "below 1", ratio(p50, peers, min)),
        Shown("p99 of an idle run by our p50", "below 3", ratio(p99, p50)),
        Shown(
            "memory of an idle worker by dramatiq's",
            "at most 1",
            ratio(memory_of[OURS.name], memory_of["dramatiq"]),
        ),
    ]


def _round(bench: Bench, contender: Contender, place: Place, number: int) -> Iterator[Figure]:
    runs = 50 if bench.quick else 300
    place.run("submit", "20")  # declares the queues and warms what needs it
    place.start_worker()
    place.until(lambda tally: tally.last_stage >= 20)
    yield Figure(MEMORY, contender.name, "idle", memory(place.workers[0].pid), "MiB", number)
    ends: dict[str, list[float]] = json.loads(place.run("latency", str(_WARM + runs)))
    place.stop_workers()
    place.check_nothing_left()
    for end, all_took in ends.items():
        took = all_took[_WARM:]
        row = contender.name if len(ends) == 1 or end == "final commit" else f"{contender.name}, to the {end}"
        p50, p99 = statistics.median(took), statistics.quantiles(took, n=100)[98]
        bench.log(f"{row}, round {number}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        yield Figure(LATENCY, row, "p50", p50, "ms", number)
        yield Figure(LATENCY, row, "p99", p99, "ms", number)
