"""Measures the rate with a million runs and a thousand pipelines."""

import json
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis

from benchmarks.bench import TIMEOUT_S, TROUBLE, Bench, Place
from benchmarks.contenders import OURS
from benchmarks.figures import Figure, Shown, ratio, some
from support.valkey import administrator

ABOUT = """Each time the same is measured twice over on one broker and one store: with little there, then grown. Jobs a second
are those of one worker process over 10,000 jobs, with more than that in its queue. The latency is that of an idle run of another
pipeline, from its submission to its final commit. Listed are 50 runs: the newest, the newest of a pipeline, and (old) those
accepted well before.

A million runs are copies of one that the product had made, key by key under other ids, each accepted a millisecond after the
other; a queued one's message is signed and published as its submission would. The store does not rewrite its log during that time. The
thousand pipelines have one stage and one run each."""

JOBS, LATENCY, LIST = "Jobs a second", "Milliseconds of an idle run", "Milliseconds of a list of 50 runs"
LITTLE, GROWN = "with little there", "grown"
_JOBS, _SUBMITTED, _LATENCIES, _LISTS = 10_000, 8_000, 150, 100
#: Runs that one process makes, so that none takes longer than the bench waits.
_PART = 200_000

_CONTENDER = replace(OURS, module="benchmarks.grown")


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to grow."""

    row: str
    #: The argument of `benchmarks.grown`, and its count.
    command: str
    count: int
    #: Milliseconds before the newest run, where there are old ones once it has grown.
    back: int
    #: Whether the jobs that are measured are those that it has grown by.
    queued: bool = False


def kinds(bench: Bench) -> tuple[Kind, ...]:
    """All ways to grow."""
    many, pipelines = (4_000, 10) if bench.quick else (1_000_000, 1_000)
    old = min(many, _PART) // 2  # each part reaches so many milliseconds back from when it is made
    return (
        Kind(f"{many:,} queued", "fill-queued", many, old, queued=True),
        Kind(f"{many:,} kept", "fill-kept", many, old),
        Kind(f"{pipelines:,} pipelines", "declare", pipelines, 1),
    )


def measure(bench: Bench) -> Iterator[Figure]:
    """One way to grow after the other."""
    with never_rewriting(bench):
        for kind in kinds(bench):
            try:
                with bench.place(_CONTENDER) as place:
                    yield from _rounds(bench, place, kind, LITTLE)
                    for start in range(0, kind.count, _PART):
                        place.run(kind.command, str(min(_PART, kind.count - start)))
                    bench.log(f"{kind.row}: made")
                    yield from _rounds(bench, place, kind, GROWN)
            except TROUBLE as error:
                bench.log(f"{kind.row} does not count: {error}")
                yield Figure(JOBS, kind.row, GROWN, None, "jobs/s", 1, str(error))
            forget(bench)


def shown(figures: Sequence[Figure]) -> list[Shown]:
    """What is grown beside what is not."""
    return [
        Shown(
            f"{what}, {row}, by the same with little there",
            asked,
            ratio(some(figures, table, GROWN, [row + suffix]), some(figures, table, LITTLE, [row + suffix])),
        )
        for table, what, asked, suffix in (
            (JOBS, "jobs/s", "at least 0.85", ""),
            (LATENCY, "p50 of an idle run", "at most 1.15", ""),
            (LIST, "list of the newest runs", "at most 1.15", ", newest"),
            (LIST, "list of old runs", "at most 1.15", ", old"),
        )
        for row in dict.fromkeys(figure.row for figure in figures if figure.table == JOBS)
    ]


def _rounds(bench: Bench, place: Place, kind: Kind, column: str) -> Iterator[Figure]:
    grown = column == GROWN
    for number in range(1, bench.rounds + 1):
        rate = _rate(bench, place, submits=not (grown and kind.queued))
        yield Figure(JOBS, kind.row, column, rate, "jobs/s", number)
        waits = _latency(bench, place)
        yield Figure(LATENCY, kind.row, column, statistics.median(waits), "ms", number)
        yield Figure(
            LATENCY, f"{kind.row}, p99", column, statistics.quantiles(waits, n=100)[98], "ms", number
        )
        lists: dict[str, float] = json.loads(place.run("list", str(_LISTS), str(kind.back if grown else 1)))
        for name, milliseconds in lists.items():
            yield Figure(LIST, f"{kind.row}, {name}", column, milliseconds, "ms", number)
        bench.log(
            f"{kind.row}, {column}, round {number}: {rate:,.0f} jobs/s, p50 {statistics.median(waits):.1f} ms, "
            + ", ".join(f"{name} {milliseconds:.2f} ms" for name, milliseconds in lists.items())
        )


def _rate(bench: Bench, place: Place, *, submits: bool) -> float:
    """Jobs a second of a worker whose queue does not become empty."""
    jobs, runs = (400, 400) if bench.quick else (_JOBS, _SUBMITTED)
    if submits:
        place.run("submit", str(runs))
    with beside(bench, place) as here:
        here.start_worker()
        begun = here.until(lambda tally: tally.processes == 1)
        ended = here.until(lambda tally: tally.first_stage + tally.last_stage >= jobs)
        here.stop_workers()
    done = ended.first_stage + ended.last_stage - begun.first_stage - begun.last_stage
    return done / (ended.newest - begun.newest) * 1e9


def _latency(bench: Bench, place: Place) -> Sequence[float]:
    """Milliseconds of one run after another of a pipeline whose queues are empty."""
    with beside(bench, place, BENCH_PIPELINE="beside") as here:
        here.run("submit", "20")
        here.start_worker()
        here.until(lambda tally: tally.last_stage >= 20)
        found: dict[str, list[float]] = json.loads(
            here.run("latency", str(20 if bench.quick else _LATENCIES))
        )
        here.stop_workers()
    return found["final commit"]


@contextmanager
def beside(bench: Bench, place: Place, **settings: str) -> Iterator[Place]:
    """The same place, where jobs are counted from nothing."""
    with TemporaryDirectory(dir=bench.folder) as folder:
        given = {**place.settings, "BENCH_COUNTS": folder, **settings}
        with Place(place.contender, place.api, given, Path(folder)) as here:
            yield here


def forget(bench: Bench) -> None:
    """Empties the store, and returns once the disk has come to rest: a million messages and runs have been deleted."""
    with Redis.from_url(administrator(bench.store.url)) as client:
        client.flushall(asynchronous=True)
        deadline, prompt = time.monotonic() + TIMEOUT_S, 0
        while prompt < 50 and time.monotonic() < deadline:
            began = time.monotonic()
            client.set("benchmarks:probe", "1")
            prompt = prompt + 1 if time.monotonic() - began < 0.02 else 0
            time.sleep(0.05)


@contextmanager
def never_rewriting(bench: Bench) -> Iterator[None]:
    """The store does not begin to rewrite its log in the middle of a measurement."""
    name = "auto-aof-rewrite-percentage"
    with Redis.from_url(administrator(bench.store.url)) as client:
        usual = client.config_get(name)[name]
        client.config_set(name, 0)
        try:
            yield
        finally:
            client.config_set(name, usual)
