"""Measures the time of one run on an idle worker."""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.bench import Bench
from benchmarks.busy import busy
from benchmarks.contenders import IN_PLACE, OURS, PEERS, QUORUM_PEERS, Contender
from benchmarks.figures import Cell, Figure, Shown, cell, ratio, some
from benchmarks.footprint import memory
from benchmarks.place import TROUBLE, Place

ABOUT = f"""One run at a time, on one idle worker process; the time begins before the run is submitted. Peers' runs end when
the last handler has run. Ours end later, when the final commit is done and those who wait for the run have been notified; the rows
“to the last handler” show ours by the peers' measure, and the ratios above are of these. Peers run on classic queues, as in the other
measures, and in rows of their own on quorum queues, where ours always are: {", ".join(QUORUM_PEERS)}. Dramatiq does not support
them, and streaQ has no broker.

“Beside a load” is the same in the same place, right after it, while a process of another program computes without a pause on one core."""

#: Runs that the submitter opens its connections with; they do not count.
_WARM = 10

LATENCY, MEMORY = "Milliseconds of an idle run", "Memory of an idle worker"


P50, P99 = "p50", "p99"
BUSY_P50, BUSY_P99 = "p50 beside a load", "p99 beside a load"
LAST = "last handler"


def measure(bench: Bench) -> Iterator[Figure]:
    """All contenders in turns; of the variants those in every round that are compared."""
    compared = (IN_PLACE.name, *QUORUM_PEERS)
    taking_part = [replace(each, extra=each.extra and each.name not in compared) for each in bench.contenders]
    for number, contenders in bench.turns(bench.rounds, taking_part):
        for contender in contenders:
            try:
                with bench.place(contender) as place:
                    yield from _round(bench, contender, place, number)
            except TROUBLE as error:
                bench.log(f"{contender.name}, latency, round {number} does not count: {error}")
                yield Figure(LATENCY, contender.name, P50, None, "ms", number, str(error))


def shown(figures: Sequence[Figure]) -> list[Shown]:
    """Ours beside the quickest peers, beside a load, and our slow runs beside our usual ones."""

    def of(column: str, *rows: str) -> list[Figure]:
        return some(figures, LATENCY, column, rows)

    ours, in_place = (row_of(each.name, LAST) for each in (OURS, IN_PLACE))
    every_peer = (*PEERS, *QUORUM_PEERS)
    idle = {name: some(figures, MEMORY, "idle", [name]) for name in (OURS.name, "dramatiq")}
    what = "p50 of an idle run to the last handler"
    return [
        Shown(
            f"{what} by the quickest peer's on quorum queues",
            "at most 1",
            ratio(of(P50, ours), of(P50, *QUORUM_PEERS), min),
        ),
        Shown(f"{what} by the quickest peer's of all", "", ratio(of(P50, ours), of(P50, *every_peer), min)),
        Shown(
            f"{what}, chain in place, by the quickest peer's of all",
            "at most 1",
            ratio(of(P50, in_place), of(P50, *every_peer), min),
        ),
        Shown(f"{what}, beside a load by without", "at most 1.5", ratio(of(BUSY_P50, ours), of(P50, ours))),
        Shown("the same of the peer that is quickest without", "", slowed(figures, every_peer)),
        Shown("p99 of an idle run by our p50", "below 3", ratio(of(P99, OURS.name), of(P50, OURS.name))),
        Shown(
            "memory of an idle worker by dramatiq's", "at most 1", ratio(idle[OURS.name], idle["dramatiq"])
        ),
    ]


def slowed(figures: Sequence[Figure], rows: Sequence[str]) -> Cell | None:
    """How much longer a run takes beside a load, round by round of the row that is quickest without."""
    counted = [figure for figure in some(figures, LATENCY, P50, rows) if figure.value is not None]
    quickest = [
        min((figure for figure in counted if figure.round == number), key=lambda figure: figure.value or 0)
        for number in dict.fromkeys(figure.round for figure in counted)
    ]
    return cell(
        loaded.value / figure.value
        for figure in quickest
        for loaded in some(figures, LATENCY, BUSY_P50, [figure.row])
        if loaded.round == figure.round and loaded.value and figure.value
    )


def row_of(contender: str, end: str) -> str:
    """The row of a contender whose runs have several ends: the final commit is the usual one."""
    return contender if end == "final commit" else f"{contender}, to the {end}"


def start(place: Place) -> None:
    """A worker that has done some runs."""
    place.run("submit", "20")  # declares the queues and warms what needs it
    place.start_worker()
    place.until(lambda tally: tally.last_stage >= 20)


def idle_runs(bench: Bench, place: Place) -> dict[str, list[float]]:
    """Milliseconds of one run after another, by which end of a run counts; those that warm up are left out."""
    runs = 50 if bench.quick else 300
    ends: dict[str, list[float]] = json.loads(place.run("latency", str(_WARM + runs)))
    return {end: took[_WARM:] for end, took in ends.items()}


def _round(bench: Bench, contender: Contender, place: Place, number: int) -> Iterator[Figure]:
    start(place)
    yield Figure(MEMORY, contender.name, "idle", memory(place.workers[0].pid), "MiB", number)
    quiet = idle_runs(bench, place)
    with busy():
        loaded = idle_runs(bench, place)
    place.stop_workers()
    place.check_nothing_left()
    for end in quiet:
        row = contender.name if len(quiet) == 1 else row_of(contender.name, end)
        found = {
            P50: statistics.median(quiet[end]),
            P99: _p99(quiet[end]),
            BUSY_P50: statistics.median(loaded[end]),
            BUSY_P99: _p99(loaded[end]),
        }
        bench.log(
            f"{row}, round {number}: "
            + ", ".join(f"{name} {took:.1f}" for name, took in found.items())
            + " ms"
        )
        for column, took in found.items():
            yield Figure(LATENCY, row, column, took, "ms", number)


def _p99(took: Sequence[float]) -> float:
    return statistics.quantiles(took, n=100)[98]
