"""Measures a fan-out inside a worker, and the join of its children."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks import chain
from benchmarks.bench import Bench
from benchmarks.contenders import EMBEDDED, OURS, Contender
from benchmarks.figures import Cell, Figure, Shown, ratio, some
from benchmarks.footprint import most, used
from benchmarks.place import TROUBLE, DoesNotCount, Place

ABOUT = """One run at a time: a job opens all children from inside the worker, each child takes and gives 1 kB, and a join gets all that they
gave, and counts it. One worker process does it all, with the settings of the first measure. The time is from the beginning of the first
handler until the join has counted. A round counts only if every child was done once and the join counted every output once, and
if afterwards every queue is empty, and our own store reports that the run is done. CPU is that of the larger fan-out, divided by its
children; memory is the most that the worker's processes held at any moment.

Celery runs a chord that a task starts, with its results in the store of the round. Dramatiq runs a group with a completion
callback, which it counts in the same store: **its join gets no outputs**, so it does less than the others. streaQ's join is enqueued
`after` the children's ids, and asks for all results that the queue keeps. FastStream and Taskiq are not measured here.

“A plain job” is one of a chain of two stages with the same payload: as many jobs as there are children, in the same round. Half of
them were in the queue before, where every child is published while it is measured. So there is a job of a chain of ten stages as
well, of which nine in ten are published by the worker, as children are."""

RATE, CPU, MEMORY = "Children a second", "CPU for each child", "Memory of the worker at most"
TOGETHER = "together"

#: Stages of the chains that a child is compared with.
_SHORT, _LONG = 2, 10
#: Bytes that a child takes and gives.
_BYTES = 1_000
#: Children of the columns beside others; the last one's CPU counts.
_SIZES, _QUICK = (1_000, 10_000), (300,)
#: Our memory alone is measured of so many, once: no peer is waited for that long.
_LARGE = 100_000
#: Seconds that a fan-out may take, and ours of the largest size.
_TIMEOUT_S, _LARGE_TIMEOUT_S = 300.0, 900.0

#: What runs each contender's graph.
OURS_MODULE = "benchmarks.our_graph"
_MODULES = {
    OURS.name: OURS_MODULE,
    EMBEDDED.name: OURS_MODULE,
    **{peer: f"benchmarks.peers.{peer}.graph" for peer in ("celery", "dramatiq", "streaq")},
}
PEERS = tuple(name for name in _MODULES if name not in (OURS.name, EMBEDDED.name))


@dataclass(frozen=True, slots=True)
class Joined:
    """What one contender did in one round."""

    #: Children a second, from the fan-out's beginning to the join's end.
    rate: float
    #: µs of CPU for each child: of the worker, and of the broker and the store where they are processes of ours.
    cpu: Mapping[str, float]
    #: MiB that the worker held at most.
    memory: float


def measure(bench: Bench) -> Iterator[Figure]:
    """All that have a graph, in turns; ours beside plain jobs of the same round."""
    for number, contenders in bench.turns(bench.rounds, of(bench.contenders)):
        for contender in contenders:
            for children in _sizes(bench):
                yield from _round(bench, contender, number, children)
            for stages in (_SHORT, _LONG) if contender.name not in PEERS else ():
                yield from _plain_jobs(bench, contender, number, stages)
            if contender.name == OURS.name and number == 1 and not bench.quick:
                yield from _round(bench, contender, number, _LARGE)


def of(contenders: Sequence[Contender]) -> list[Contender]:
    """Those that have a graph, as what runs it."""
    return [
        replace(each, module=_MODULES[each.name], extra=False) for each in contenders if each.name in _MODULES
    ]


def shown(figures: Sequence[Figure]) -> list[Shown]:
    """A child beside a plain job, ours beside the fastest peer, and the memory of ten times as many children."""
    column, large = (f"{children:,}" for children in (_SIZES[-1], _LARGE))
    ours, peers = (some(figures, RATE, column, rows) for rows in ([OURS.name], PEERS))
    held = {size: some(figures, MEMORY, size, [OURS.name]) for size in (column, large)}
    return [
        Shown("CPU of a child by a plain job's", "at most 1.5", _by_plain_job(figures, OURS)),
        Shown("the same on the embedded queue", "", _by_plain_job(figures, EMBEDDED)),
        Shown("CPU of a child by that of a job of ten stages", "", _by_plain_job(figures, OURS, _LONG)),
        Shown(f"children/s by the fastest peer's, {column}", "", ratio(ours, peers)),
        Shown(
            f"memory of the worker at {large} children by {column}",
            "about 1",
            ratio(held[large], held[column]),
        ),
    ]


def plain_row(contender: str, stages: int = _SHORT) -> str:
    """The row of the plain jobs that a contender's children are compared with."""
    return f"{contender}, a plain job" if stages == _SHORT else f"{contender}, a job of {stages} stages"


def one(bench: Bench, contender: Contender, children: int | None = None) -> Joined:
    """A fan-out in a place of its own, by default as large as the one whose CPU counts. Raises one of TROUBLE where it does not count."""
    with bench.place(contender, BENCH_SIZE=str(_BYTES)) as place:
        return join(place, children or _sizes(bench)[-1], bench.servers)


def _sizes(bench: Bench) -> tuple[int, ...]:
    return _QUICK if bench.quick else _SIZES


def _by_plain_job(figures: Sequence[Figure], contender: Contender, stages: int = _SHORT) -> Cell | None:
    child, plain = (
        some(figures, CPU, TOGETHER, [row]) for row in (contender.name, plain_row(contender.name, stages))
    )
    return ratio(child, plain)


def _round(bench: Bench, contender: Contender, number: int, children: int) -> Iterator[Figure]:
    column = f"{children:,}"
    try:
        done = one(bench, contender, children)
    except TROUBLE as error:
        bench.log(f"{contender.name}, {column} children, round {number} does not count: {error}")
        yield Figure(RATE, contender.name, column, None, "", number, f"{column}: {error}")
        return
    bench.log(
        f"{contender.name}, {column} children, round {number}: {done.rate:,.0f} a second, {done.memory:.0f} MiB, "
        + chain.each_job(done.cpu)
    )
    yield Figure(RATE, contender.name, column, done.rate, "a second", number)
    yield Figure(MEMORY, contender.name, column, done.memory, "MiB", number)
    if children == _sizes(bench)[-1]:
        yield from _cpu(contender.name, done.cpu, number)


def _plain_jobs(bench: Bench, contender: Contender, number: int, stages: int) -> Iterator[Figure]:
    """As many jobs as the fan-out that counts has children."""
    row, jobs = plain_row(contender.name, stages), _sizes(bench)[-1]
    settings = {"BENCH_SIZE": str(_BYTES), "BENCH_STAGES": str(stages)}
    try:
        with bench.place(replace(contender, module=OURS.module), **settings) as place:
            done = chain.work(place, jobs // stages, 1, bench.servers, stages)
    except TROUBLE as error:
        bench.log(f"{row}, round {number} does not count: {error}")
        yield Figure(CPU, row, TOGETHER, None, "", number, str(error))
        return
    bench.log(f"{row}, round {number}: {chain.each_job(done.cpu)}")
    yield from _cpu(row, done.cpu, number)


def _cpu(row: str, took: Mapping[str, float], number: int) -> Iterator[Figure]:
    for process, each in {**took, TOGETHER: sum(took.values())}.items():
        yield Figure(CPU, row, process, each, "µs", number)


def join(place: Place, children: int, servers: Mapping[str, int]) -> Joined:
    """Starts one run, and checks that each child was done once, and joined once. Raises DoesNotCount."""
    place.run("submit", str(children))
    worker = place.start_worker()
    begun = place.until(lambda tally: tally.processes == 1)
    measured = {"worker": worker.pid, **servers}
    before = used(measured)
    seconds = _LARGE_TIMEOUT_S if children == _LARGE else _TIMEOUT_S
    ended = place.until(lambda tally: tally.last_stage >= children, seconds)
    computed, held = used(measured, before), most(worker.pid)
    place.drain()  # the message of our fan-out is parked until a delivery finds that all have joined
    place.stop_workers()
    place.check_nothing_left()
    found = place.counts.read()
    if (found.first_stage, found.last_stage) != (children, children):
        raise DoesNotCount(
            f"{found.first_stage} children were done, and {found.last_stage} outputs were joined"
        )
    rate = children / (ended.newest - begun.began[0]) * 1e9
    return Joined(rate, {process: took / children * 1e6 for process, took in computed.items()}, held)
