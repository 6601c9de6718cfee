"""Measures what each guarantee costs, switched off one by one."""

import time
from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.contenders import Contender
from benchmarks.figures import Figure
from benchmarks.footprint import cpu
from benchmarks.place import TROUBLE, DoesNotCount

ABOUT = """The first measure's work with one worker process, where the benchmark replaces one part of the worker by one that does
nothing; the product has no such options. Without the **signature** messages are believed as they come; without the **claim** two
workers may do the same job; without the **confirm** a publish counts when it is sent; without the **commit** no outcome is on
record, so a crash repeats the work; without **tracking** a run keeps the state that it began with, and no watcher is notified.
Cost is what a job takes with everything less what it takes without that part, in the same round; parts overlap, so they do not
add up."""

JOBS, COST = "Jobs a second", "Cost of a guarantee for each job"
COSTS = ("time of the pipeline", "CPU of the worker")
ALL, BARE = "all guarantees", "none of the five"
PARTS = ("signature", "claim", "confirm", "commit", "tracking")
_ROWS = {ALL: "", **{f"without {part}": part for part in PARTS}, BARE: "+".join(PARTS)}


def measure(bench: Bench) -> Iterator[Figure]:
    """All variants in turns."""
    contenders = [
        Contender(name, "benchmarks.without", settings={"BENCH_WITHOUT": parts, "BENCH_FORMAT": "5"})
        for name, parts in _ROWS.items()
    ]
    for number in bench.numbered(min(3, bench.rounds)):
        variants = contenders[:: 1 if number % 2 else -1]
        took: dict[str, tuple[float, float]] = {}
        for variant in variants:
            try:
                rate, computed = _work(bench, variant, 300 if bench.quick else 4_000)
            except TROUBLE as error:
                bench.log(f"{variant.name}, round {number} does not count: {error}")
                yield Figure(JOBS, variant.name, "one process", None, "jobs/s", number, str(error))
                continue
            bench.log(f"{variant.name}, round {number}: {rate:,.0f} jobs/s, {computed:.0f} µs of CPU each")
            took[variant.name] = 1e6 / rate, computed
            yield Figure(JOBS, variant.name, "one process", rate, "jobs/s", number)
        for part in [part for part in PARTS if {ALL, f"without {part}"} <= took.keys()]:
            for column, whole, rest in zip(COSTS, took[ALL], took[f"without {part}"], strict=True):
                yield Figure(COST, part, column, whole - rest, "µs", number)


def _work(bench: Bench, variant: Contender, runs: int) -> tuple[float, float]:
    """Jobs a second and µs of CPU for each; every run is in the queue before the worker starts."""
    with bench.place(variant) as place:
        place.run("submit", str(runs))
        worker = place.start_worker()
        begun = place.until(lambda tally: tally.processes == 1)
        used, when = cpu(worker.pid), time.monotonic_ns()
        ended = place.until(lambda tally: tally.last_stage >= runs)
        used = cpu(worker.pid) - used
        place.stop_workers()
        place.check_nothing_left()
    jobs = ended.first_stage + ended.last_stage
    if jobs != 2 * runs:
        raise DoesNotCount(f"{jobs} jobs were done for {runs} runs")
    done = jobs - begun.first_stage - begun.last_stage
    return done / (ended.newest - when) * 1e9, used / done * 1e6
