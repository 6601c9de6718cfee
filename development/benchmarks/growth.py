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

from benchmarks.bench import Bench, open_bench
from benchmarks.contenders import OURS
from benchmarks.figures import Figure, Shown, ratio, some
from benchmarks.place import TIMEOUT_S, TROUBLE, Place
from support.valkey import administrator
from support.waiting import until

ABOUT = """Two brokers and two stores: on one pair little is there, the other has grown. Each round measures the same on both,
one after the other, and the ratios are of one round. Jobs a second are those of one worker process over 10,000 jobs, with more than
that in its queue. The latency is that of an idle run of another pipeline, from its submission to its final commit. Listed are 50
runs: the newest, the newest of a pipeline, and (old) those accepted well before. A rate counts only if as many messages are left as
runs were not done.

A million runs are copies of one that the product had made, key by key under other ids, each accepted a millisecond after the
other; a queued one's message is signed and published as its submission would. The stores do not rewrite their logs during that time.
The thousand pipelines have one stage and one run each."""

JOBS, LATENCY, LIST = "Jobs a second", "Milliseconds of an idle run", "Milliseconds of a list of 50 runs"
LITTLE, GROWN = "with little there", "grown"
_JOBS, _SUBMITTED, _LATENCIES, _LISTS = 10_000, 8_000, 150, 100
#: At most so many rounds of each.
_ROUNDS = 3
#: Our pipeline's queues, and seconds for what a worker handed back to be in them again.
_QUEUES, _SETTLE_S = ("bench_first", "bench_second"), 10.0
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
    many = 4_000 if bench.quick else bench.size
    pipelines = max(10, many // 1_000)
    old = min(many, _PART) // 2  # each part reaches so many milliseconds back from when it is made
    return (
        Kind(f"{many:,} queued", "fill-queued", many, old, queued=True),
        Kind(f"{many:,} kept", "fill-kept", many, old),
        Kind(f"{pipelines:,} pipelines", "declare", pipelines, 1),
    )


def measure(bench: Bench) -> Iterator[Figure]:
    """One way to grow after the other, beside a second broker and store where little is there."""
    with (
        open_bench((), bench.rounds, quick=bench.quick) as small,
        never_rewriting(small),
        never_rewriting(bench),
    ):
        for kind in kinds(bench):
            try:
                with small.place(_CONTENDER) as little, bench.place(_CONTENDER) as grown:
                    sides = (Side(LITTLE, small, little, kind), Side(GROWN, bench, grown, kind))
                    yield from _rounds(bench, sides, kind)
            except TROUBLE as error:
                bench.log(f"{kind.row} does not count: {error}")
                yield Figure(JOBS, kind.row, GROWN, None, "jobs/s", 1, str(error))
            forget(bench)


def _rounds(bench: Bench, sides: "Sequence[Side]", kind: Kind) -> Iterator[Figure]:
    for side in sides:
        side.warm()
    for start in range(0, kind.count, _PART):
        sides[-1].place.run(kind.command, str(min(_PART, kind.count - start)))
    come_to_rest(bench)
    bench.log(f"{kind.row}: made")
    for number in bench.numbered(min(_ROUNDS, bench.rounds)):
        for side in sides[:: 1 if number % 2 else -1]:
            yield from side.one_round(number)


def shown(figures: Sequence[Figure]) -> list[Shown]:
    """What is grown beside what is not."""
    return [
        Shown(
            f"{what}, {row}, by the same with little there",
            asked,
            ratio(some(figures, table, GROWN, [row + suffix]), some(figures, table, LITTLE, [row + suffix])),
        )
        for table, what, asked, suffix in (
            (JOBS, "jobs/s", "at least 0.9", ""),
            (LATENCY, "p50 of an idle run", "at most 1.11", ""),
            (LIST, "list of the newest runs", "at most 1.15", ", newest"),
            (LIST, "list of old runs", "at most 1.15", ", old"),
        )
        for row in dict.fromkeys(figure.row for figure in figures if figure.table == JOBS)
    ]


@dataclass(frozen=True, slots=True)
class Side:
    """A broker and a store with little there, or grown."""

    column: str
    bench: Bench
    place: Place
    kind: Kind

    def warm(self) -> None:
        """Declares the queues, and lets broker and store do what they will be measured with."""
        self._rate(600, 400)  # so that runs are completed, which can be copied

    def one_round(self, number: int) -> Iterator[Figure]:
        """The rate, the latency and the lists."""
        row, grown = self.kind.row, self.column == GROWN
        submitted = 0 if grown and self.kind.queued else _SUBMITTED
        rate = self._rate(*((400, 400) if self.bench.quick else (_JOBS, submitted)))
        yield Figure(JOBS, row, self.column, rate, "jobs/s", number)
        waits = self._latency()
        p50, p99 = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
        yield Figure(LATENCY, row, self.column, p50, "ms", number)
        yield Figure(LATENCY, f"{row}, p99", self.column, p99, "ms", number)
        back = self.kind.back if grown else 1
        lists: dict[str, float] = json.loads(self.place.run("list", str(_LISTS), str(back)))
        for name, milliseconds in lists.items():
            yield Figure(LIST, f"{row}, {name}", self.column, milliseconds, "ms", number)
        listed = ", ".join(f"{name} {milliseconds:.2f} ms" for name, milliseconds in lists.items())
        self.bench.log(
            f"{row}, {self.column}, round {number}: {rate:,.0f} jobs/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {listed}"
        )

    def _rate(self, jobs: int, runs: int) -> float:
        """Jobs a second of a worker whose queue does not become empty, after that many runs were submitted."""
        if runs:
            self.place.run("submit", str(runs))
        waiting = self._waiting()
        with beside(self.bench, self.place) as here:
            here.start_worker()
            begun = here.until(lambda tally: tally.processes == 1)
            ended = here.until(lambda tally: tally.first_stage + tally.last_stage >= jobs)
            here.stop_workers()
            expected = waiting - here.counts.read().last_stage
        until(lambda: self._waiting() == expected, f"{expected} messages are left", _SETTLE_S)
        done = ended.first_stage + ended.last_stage - begun.first_stage - begun.last_stage
        return done / (ended.newest - begun.newest) * 1e9

    def _waiting(self) -> int:
        """Messages of the pipeline that is measured."""
        return sum(self.place.waiting(_QUEUES).values())

    def _latency(self) -> Sequence[float]:
        """Milliseconds of one run after another of a pipeline whose queues are empty."""
        with beside(self.bench, self.place, BENCH_PIPELINE="beside") as here:
            here.run("submit", "20")
            here.start_worker()
            here.until(lambda tally: tally.last_stage >= 20)
            runs = 20 if self.bench.quick else _LATENCIES
            found: dict[str, list[float]] = json.loads(here.run("latency", str(runs)))
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
    come_to_rest(bench)


def come_to_rest(bench: Bench) -> None:
    """Returns once the store has answered promptly for a while, or after a minute."""
    with Redis.from_url(administrator(bench.store.url)) as client:
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
