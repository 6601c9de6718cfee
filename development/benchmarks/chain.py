"""Measures jobs a second through two chained stages."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import raw_mark
from benchmarks.bench import TROUBLE, Bench, DoesNotCount, Place
from benchmarks.contenders import OURS, PEERS, Contender
from benchmarks.figures import Figure, Shown, ratio, some
from benchmarks.footprint import cpu, memory

ABOUT = f"""All runs are in the queue before the workers start. Each handler counts its jobs in shared memory, and the rate
is what was done between the moment when every process had begun and the last job of the last stage. A round counts only if
afterwards every queue is empty, nothing is unacknowledged, and the contender's own store, if it has one, reports that all runs are
done. Memory is what all processes of a worker hold together; of a page that several processes share, each is counted its part (PSS).

{raw_mark.ABOUT}"""

ABOUT_LOADS = """Counted in the same way, in one worker process. `threads` is a sync handler, which every contender runs in
threads; `10 ms` is an async handler that waits 10 ms, at a concurrency of 100 (in 100 threads, where there is no event loop)."""

JOBS, CPU = "Jobs a second", "CPU of the worker's process for each job"
MEMORY, START = "Memory of a loaded worker", "From start to the first job"

#: Seconds of work a round, and the runs that this may be at least and at most.
_SECONDS, _LEAST, _MOST = 2.5, 300, 15_000
#: Runs of the trial that finds the rate.
_TRIAL = 500


@dataclass(frozen=True, slots=True)
class Load:
    """A column of the table."""

    column: str
    handler: str = "async"
    size: int = 10
    processes: int = 1
    #: None means as many as `_SECONDS` take, by the rate of the trial.
    runs: int | None = None


ONE, TWO = Load("one process"), Load("two processes", processes=2)
OTHERS = (
    Load("1 KiB", size=1024),
    Load("64 KiB", size=64 * 1024, runs=500),
    Load("1 MiB", size=1024 * 1024, runs=60),
    Load("threads", handler="sync"),
    Load("10 ms", handler="sleep"),
)


def measure(bench: Bench) -> Iterator[Figure]:
    """One process and two, in turns; variants in one process alone."""
    program = raw_mark.compiled(bench) if bench.raw else None
    for number, contenders in bench.turns(bench.rounds, bench.contenders):
        for contender in contenders:
            for load in (ONE,) if contender.extra else (ONE, TWO):
                yield from _round(bench, contender, load, number, _runs(bench, contender, load))
        if bench.raw:
            yield from raw_mark.one_round(bench, program, number)


def shown(figures: Sequence[Figure]) -> list[Shown]:
    """Our ratio beside the fastest peer and beside C."""
    ours = {load.column: some(figures, JOBS, load.column, [OURS.name]) for load in (ONE, TWO)}
    peers = {load.column: some(figures, JOBS, load.column, PEERS) for load in (ONE, TWO)}
    mark = some(figures, raw_mark.TABLE, raw_mark.MARK, [raw_mark.ROW])
    memory_of = {name: some(figures, MEMORY, ONE.column, [name]) for name in (OURS.name, "dramatiq")}
    return [
        Shown(
            "jobs/s by the fastest peer's, one process",
            "at least 3",
            ratio(ours[ONE.column], peers[ONE.column]),
        ),
        Shown("the same, two processes", "", ratio(ours[TWO.column], peers[TWO.column])),
        Shown(
            "jobs/s by the C program's hops/s, one process", "at least 0.35", ratio(ours[ONE.column], mark)
        ),
        Shown(
            "memory of a loaded worker by dramatiq's",
            "at most 1",
            ratio(memory_of[OURS.name], memory_of["dramatiq"]),
        ),
    ]


def measure_loads(bench: Bench) -> Iterator[Figure]:
    """Each load in fewer rounds, without the variants."""
    regular = [contender for contender in bench.contenders if not contender.extra]
    for load in OTHERS:
        for number, contenders in bench.turns(min(2, bench.rounds), regular):
            for contender in contenders:
                yield from _round(bench, contender, load, number, _runs(bench, contender, load))


def _runs(bench: Bench, contender: Contender, load: Load) -> int:
    """How many runs fill a round; tried once for each contender and handler, which warms the broker too."""
    if bench.quick:
        return 100 if load.processes == 1 else 3_000  # the first process must not do it all
    if load.runs is not None:
        return load.runs
    key = contender.name, load.handler
    if key not in bench.rates:
        tried = list(_round(bench, contender, Load("trial", load.handler), 0, _TRIAL))
        bench.rates[key] = tried[0].value or 0
    return max(_LEAST, min(_MOST, int(bench.rates[key] * _SECONDS * load.processes / 2)))


@dataclass(frozen=True, slots=True)
class _Done:
    """What one contender did in one round."""

    #: Jobs a second.
    rate: float
    #: Seconds from the start of the worker to its first job.
    start: float
    #: MiB of one worker under load, and µs of its CPU for each job.
    memory: float
    cpu: float


def _round(bench: Bench, contender: Contender, load: Load, number: int, runs: int) -> Iterator[Figure]:
    def figure(table: str, value: float | None, unit: str, note: str = "") -> Figure:
        return Figure(table, contender.name, load.column, value, unit, number, note)

    try:
        with bench.place(contender, BENCH_HANDLER=load.handler, BENCH_SIZE=str(load.size)) as place:
            done = _work(place, runs, load.processes)
    except TROUBLE as error:
        bench.log(f"{contender.name}, {load.column}, round {number} does not count: {error}")
        yield figure(JOBS, None, "", str(error))
        return
    bench.log(
        f"{contender.name}, {load.column}, round {number}: {done.rate:,.0f} jobs/s, {done.cpu:.0f} µs of CPU each ({runs} runs)"
    )
    yield figure(JOBS, done.rate, "jobs/s")
    if load is ONE:
        yield figure(CPU, done.cpu, "µs")
        yield figure(START, done.start, "s")
        yield figure(MEMORY, done.memory, "MiB")


def _work(place: Place, runs: int, processes: int) -> _Done:
    """Fills the queue, lets the workers empty it, and checks that they did."""
    place.run("submit", str(runs))
    started = time.monotonic_ns()
    for _ in range(processes):
        place.start_worker()
    begun = place.until(lambda tally: tally.processes == processes)
    used = cpu(place.workers[0].pid)
    ended = place.until(lambda tally: tally.last_stage >= runs)
    used = cpu(place.workers[0].pid) - used
    loaded = memory(place.workers[0].pid)
    place.stop_workers()
    place.check_nothing_left()
    jobs = ended.first_stage + ended.last_stage
    if jobs != 2 * runs:
        raise DoesNotCount(f"{jobs} jobs were done for {runs} runs")
    done = jobs - begun.first_stage - begun.last_stage
    if done < runs / 2:
        raise DoesNotCount("the second process began when most was done")
    rate = done / (ended.newest - begun.newest) * 1e9
    return _Done(rate, (min(ended.began) - started) / 1e9, loaded, used * 1e6 * processes / done)
