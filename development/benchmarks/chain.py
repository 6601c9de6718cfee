"""Measures jobs a second through two chained stages."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import raw_mark
from benchmarks.bench import EXTRA_ROUNDS, Bench
from benchmarks.contenders import IN_PLACE, OURS, PEERS, Contender
from benchmarks.figures import Figure, Shown, ratio, some
from benchmarks.footprint import memory, used
from benchmarks.place import TROUBLE, DoesNotCount, Place

ABOUT = f"""All runs are in the queue before the workers start. Each handler counts its jobs in shared memory, and the rate
is what was done between the moment when every process had begun and the last job of the last stage. A round counts only if
afterwards every queue is empty, nothing is unacknowledged, and the contender's own store, if it has one, reports that all runs are
done. Memory is what all processes of a worker hold together; of a page that several processes share, each is counted its part (PSS).
CPU is that of one worker process with its children, of the broker and of the store, each divided by the jobs done.

“{IN_PLACE.name}” is a pipeline that asks for it: one message stands for both stages, so the broker has half the work. It is in no
comparison with others.

{raw_mark.ABOUT}"""

ABOUT_LOADS = """Counted in the same way, in one worker process. `threads` is a sync handler, which every contender runs in
threads; `10 ms` is an async handler that waits 10 ms, at a concurrency of 100 (in 100 threads, where there is no event loop).
The sizes are those of the payload, which both stages take and give."""

JOBS, CPU = "Jobs a second", "CPU for each job, one process"
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
    #: What the ratio to the fastest peer is to be.
    asked: str = ""


ONE, TWO = Load("one process"), Load("two processes", processes=2)
OTHERS = (
    Load("1 KiB", size=1024),
    Load("64 KiB", size=64 * 1024, runs=500, asked="at least 1.2"),
    Load("1 MiB", size=1024 * 1024, runs=60, asked="at least 1"),
    Load("threads", handler="sync", asked="above 1"),
    Load("10 ms", handler="sleep", asked="above 1"),
)


def measure(bench: Bench) -> Iterator[Figure]:
    """One process and two, in turns; variants in one process alone."""
    program = raw_mark.compiled(bench) if bench.raw else None
    for number, contenders in bench.turns(bench.rounds, bench.contenders):
        for contender in contenders:
            for load in (ONE,) if contender.extra else (ONE, TWO):
                yield from _round(bench, contender, load, number, runs_of(bench, contender, load))
        if bench.raw:
            yield from raw_mark.one_round(bench, program, number)


def shown(figures: Sequence[Figure]) -> list[Shown]:
    """Our ratio beside the fastest peer and beside C, by one process and by two."""
    mark = some(figures, raw_mark.TABLE, raw_mark.MARK, [raw_mark.ROW])
    ours, in_place, dramatiq = (
        some(figures, MEMORY, ONE.column, [name]) for name in (OURS.name, IN_PLACE.name, "dramatiq")
    )
    one = some(figures, JOBS, ONE.column, [OURS.name])
    placed = some(figures, JOBS, ONE.column, [IN_PLACE.name])
    return [
        beside_peers(figures, ONE, "at least 5"),
        beside_peers(figures, TWO, "at least 5"),
        Shown("jobs/s by the C program's hops/s, one process", "at least 0.5", ratio(one, mark)),
        Shown("jobs/s of a chain in place by our own of a usual one", "", ratio(placed, one)),
        Shown("memory of a loaded worker by dramatiq's", "at most 1", ratio(ours, dramatiq)),
        Shown("the same of a chain in place", "", ratio(in_place, dramatiq)),
    ]


def beside_peers(figures: Sequence[Figure], load: "Load", asked: str) -> Shown:
    """Our jobs a second by those of the fastest peer of the round."""
    ours, peers = (some(figures, JOBS, load.column, rows) for rows in ([OURS.name], PEERS))
    return Shown(f"jobs/s by the fastest peer's, {load.column}", asked, ratio(ours, peers))


def shown_of_loads(figures: Sequence[Figure]) -> list[Shown]:
    """Our ratio beside the fastest peer, load by load."""
    return [beside_peers(figures, load, load.asked) for load in OTHERS]


def measure_loads(bench: Bench) -> Iterator[Figure]:
    """Load by load, all contenders in turns, without the variants; fewer rounds where no ratio is asked for."""
    regular = [contender for contender in bench.contenders if not contender.extra]
    for load in OTHERS:
        rounds = bench.rounds if load.asked else min(EXTRA_ROUNDS, bench.rounds)
        for number, contenders in bench.turns(rounds, regular):
            for contender in contenders:
                yield from _round(bench, contender, load, number, runs_of(bench, contender, load))


def runs_of(bench: Bench, contender: Contender, load: Load) -> int:
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
class Done:
    """What one contender did in one round."""

    #: Jobs a second.
    rate: float
    #: Seconds from the start of the worker to its first job.
    start: float
    #: MiB of one worker under load.
    memory: float
    #: µs of CPU for each job: of the worker, and of the broker and the store where they are processes of ours.
    cpu: Mapping[str, float]


def _round(bench: Bench, contender: Contender, load: Load, number: int, runs: int) -> Iterator[Figure]:
    def figure(table: str, value: float | None, unit: str, note: str = "") -> Figure:
        return Figure(table, contender.name, load.column, value, unit, number, note)

    try:
        with bench.place(contender, BENCH_HANDLER=load.handler, BENCH_SIZE=str(load.size)) as place:
            done = work(place, runs, load.processes, bench.servers)
    except TROUBLE as error:
        bench.log(f"{contender.name}, {load.column}, round {number} does not count: {error}")
        yield figure(JOBS, None, "", str(error))
        return
    bench.log(
        f"{contender.name}, {load.column}, round {number}: {done.rate:,.0f} jobs/s, {each_job(done.cpu)} ({runs} runs)"
    )
    yield figure(JOBS, done.rate, "jobs/s")
    if load is ONE:
        for process, took in done.cpu.items():
            yield Figure(CPU, contender.name, process, took, "µs", number)
        yield figure(START, done.start, "s")
        yield figure(MEMORY, done.memory, "MiB")


def each_job(cpu: Mapping[str, float]) -> str:
    """µs of CPU as text."""
    return "µs of CPU a job: " + ", ".join(f"{process} {took:.0f}" for process, took in cpu.items())


def work(place: Place, runs: int, processes: int, servers: Mapping[str, int], stages: int = 2) -> Done:
    """Fills the queue, lets the workers empty it, and checks that they did. Raises DoesNotCount."""
    place.run("submit", str(runs))
    started = time.monotonic_ns()
    for _ in range(processes):
        place.start_worker()
    begun = place.until(lambda tally: tally.processes == processes)
    measured = {"worker": place.workers[0].pid, **servers}
    before = used(measured)
    ended = place.until(lambda tally: tally.last_stage >= runs)
    seconds = used(measured, before)
    loaded = memory(place.workers[0].pid)
    place.stop_workers()
    place.check_nothing_left()
    jobs = ended.first_stage + ended.last_stage
    if jobs != stages * runs:
        raise DoesNotCount(f"{jobs} jobs were done for {runs} runs")
    done = jobs - begun.first_stage - begun.last_stage
    if done < runs / 2:
        raise DoesNotCount("the second process began when most was done")
    seconds["worker"] *= processes  # the first one's stands for all
    rate = done / (ended.newest - begun.newest) * 1e9
    cpu = {process: took / done * 1e6 for process, took in seconds.items()}
    return Done(rate, (min(ended.began) - started) / 1e9, loaded, cpu)
