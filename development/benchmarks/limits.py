"""Measures limits: places, waits of small keys, and rates.

`PYTHONPATH=development:test .venv/bin/python -m benchmarks.limits`, with the embedded queue; beside a node of RabbitMQ by
`PYTHONPATH=development:test .venv/bin/python development/private_node.py .venv/bin/python -m benchmarks.limits`.
"""

import argparse
import asyncio
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import uuid4

import msgspec

from mousetrap.handlers import Binding
from mousetrap.job_queue import connect
from mousetrap.jobs import Queue
from mousetrap.pipeline import AtMost, Limit, Pipeline, Rate, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.run_store import RunStore, open_store
from mousetrap.signing import Keyring
from mousetrap.submit_run import Submitter
from mousetrap.worker import Stop, WorkerOptions, run_worker
from support.valkey import OwnValkey

#: What must be shown: so many workers, places for a key, keys, jobs of each small key, jobs of the large one.
WORKERS, PLACES, KEYS, SMALL, LARGE = 5, 3, 40, 51, 2_000
SLOTS, WORK_S, LEASE_S = 4, 0.1, 3.0
#: After which a round has lost something.
LONGEST_S = 600.0
RATE, RATE_WORKERS, RATE_JOBS, WINDOW_S = 50, 3, 1_500, 10.0
KEYRING = Keyring.parse("bench:a-secret-for-benchmarks")


class Order(msgspec.Struct, frozen=True):
    """A job's input."""

    customer: str


class Event(NamedTuple):
    """A handler begins (`b`) or ends (`e`), or a worker was killed (`k`)."""

    what: str
    worker: int
    run: str
    customer: str
    at: float


def pipeline_of(limit: Limit | None) -> Pipeline:
    """One stage with the limit."""
    stage = Stage(
        name="charge",
        queue="bench_charge",
        input=Order,
        output=str,
        limit=limit,
        retry=RetryPolicy(attempts=None, crashes=100),
    )
    return Pipeline(name="bench_orders", description="Charges.", stages=(stage,))


LIMITS: dict[str, Limit | None] = {"places": AtMost(PLACES, per="customer"), "rate": Rate(RATE), "none": None}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a round takes place."""

    queue_url: str
    store_url: str
    log: Path
    limit: str
    work_s: float = WORK_S

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline of the round."""
        return pipeline_of(LIMITS[self.limit])

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Queue, RunStore]]:
        """Its queue and store."""
        async with (
            connect(self.queue_url, ["bench_charge"], name="bench") as queue,
            open_store(self.store_url, retention=3600, keyring=KEYRING) as store,
        ):
            yield queue, store

    def start(self) -> "subprocess.Popen[bytes]":
        """Starts a worker's process."""
        words = (self.queue_url, self.store_url, str(self.log), self.limit, str(self.work_s))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.Popen([sys.executable, "-m", "benchmarks.limits", "work", *words], env=environment)

    def events(self) -> list[Event]:
        """What has happened, in its order."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        found = [Event(what, int(worker), run, key, float(at)) for what, worker, run, key, at in lines]
        return sorted(found, key=lambda event: event.at)


async def work(place: Place) -> None:
    """A worker, until SIGTERM."""
    out = os.open(place.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    stop, pid = Stop(), os.getpid()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.ask)

    def note(what: str, run: str, order: Order) -> None:
        os.write(out, f"{what} {pid} {run} {order.customer} {time.monotonic():.6f}\n".encode())

    async def charge(order: Order, context: object) -> str:
        run: str = context.run_id  # type: ignore[attr-defined]
        note("b", run, order)
        await asyncio.sleep(place.work_s)
        note("e", run, order)
        return order.customer

    options = WorkerOptions(
        name=f"w{pid}", concurrency=SLOTS, prefetch=2 * SLOTS, lease=LEASE_S, keyring=KEYRING
    )
    async with place.opened() as (queue, store):
        binding = Binding(pipeline=place.pipeline, stage="charge", handler=charge)
        await run_worker(queue, store, [binding], options, stop)


async def submit(place: Place, customers: Sequence[str]) -> None:
    """Starts a run of each."""
    async with place.opened() as (queue, store):
        submitter = Submitter(store, queue, KEYRING, {"bench_orders": place.pipeline})
        for start in range(0, len(customers), 500):
            bodies = [msgspec.json.encode(Order(each)) for each in customers[start : start + 500]]
            await asyncio.gather(
                *(submitter.submit(place.pipeline, body, run_id=uuid4().hex, is_new=True) for body in bodies)
            )


def done(place: Place) -> int:
    """How many runs a handler has finished."""
    return len({event.run for event in place.events() if event.what == "e"}) if place.log.exists() else 0


def round_of(place: Place, customers: Sequence[str], workers: int, kill_each: int = 0) -> list[Event]:
    """All jobs are submitted, then workers start; each time that so many are done, one is killed and another one starts."""
    asyncio.run(submit(place, customers))
    place.log.touch()
    running = [place.start() for _ in range(workers)]
    began, next_kill = time.monotonic(), kill_each or len(customers)
    try:
        while (finished := done(place)) < len(customers):
            if time.monotonic() - began > LONGEST_S or any(each.poll() is not None for each in running):
                raise TimeoutError(f"{finished} of {len(customers)} runs are done")
            if finished >= next_kill:
                next_kill = finished + kill_each
                _kill(place, running.pop(0))
                running.append(place.start())
            time.sleep(0.1)
    finally:
        for each in running:
            each.terminate()
        for each in running:
            each.wait()
    return place.events()


def _kill(place: Place, victim: "subprocess.Popen[bytes]") -> None:
    victim.kill()
    victim.wait()
    with place.log.open("a") as log:
        log.write(f"k {victim.pid} - - {time.monotonic():.6f}\n")


@dataclass(slots=True)
class Seen:
    """What a round of places shows."""

    #: The most jobs of one key that ran at once.
    most: int = 0
    #: The share of the workers' slots that was free while a key had jobs and room, until the last small job had begun.
    idle: float = 0.0
    waits: list[float] = None  # type: ignore[assignment]


def seen(events: Sequence[Event], customers: Sequence[str], slots: int) -> Seen:
    """Replays the events."""
    left, running = Counter(customers), _nothing()
    began, free_s, busy_s = events[0].at, 0.0, 0.0
    first: dict[str, float] = {}
    last, shown = began, Seen(waits=[])
    small = [each for each in customers if each != "large"]
    for event in events:
        has_room = any(count > 0 and len(running[key]) < PLACES for key, count in left.items())
        if has_room and len(first) and sum(left[key] for key in set(small)) > 0:
            used = sum(len(them) for them in running.values())
            free_s += max(0, slots - used) * (event.at - last)
            busy_s += slots * (event.at - last)
        last = event.at
        if event.what == "k":
            for them in running.values():
                them -= {each for each in them if each[0] == event.worker}
        elif event.what == "b":
            running[event.customer].add((event.worker, event.run))
            shown.most = max(shown.most, len({run for _, run in running[event.customer]}))
            if event.run not in first:
                first[event.run] = event.at
                left[event.customer] -= 1
                if event.customer != "large":
                    shown.waits.append(event.at - began)
        else:
            running[event.customer].discard((event.worker, event.run))
    shown.idle = free_s / busy_s if busy_s else 0.0
    return shown


def _nothing() -> defaultdict[str, set[tuple[int, str]]]:
    return defaultdict(set)


def p95(waits: Sequence[float]) -> float:
    """The wait that nineteen of twenty are below."""
    return statistics.quantiles(waits, n=20)[-1]


def measure_places(make: "Maker") -> None:
    """Must-show 2."""
    small = [f"c{key}" for key in range(KEYS - 1)] * SMALL
    both = [*small, *["large"] * LARGE]
    random.Random(1).shuffle(small)
    random.Random(2).shuffle(both)
    found = []
    for customers, kill_each in ((small, 0), (both, 0), (small, 400), (both, 400)):
        events = round_of(make("places"), customers, WORKERS, kill_each)
        found.append(seen(events, customers, WORKERS * SLOTS))
        what = "beside the large key" if customers is both else "small keys alone"
        print(f"{what}, {'a worker killed each 400 jobs' if kill_each else 'none killed'}:", end=" ")
        print(
            f"at most {found[-1].most} of a key at once, p95 wait {p95(found[-1].waits):.2f} s, {found[-1].idle:.1%} idle"
        )
    waits = [p95(each.waits) for each in found]
    print(
        f"p95 beside the large key by alone: {waits[1] / waits[0]:.2f}, with kills {waits[3] / waits[2]:.2f}"
    )


def measure_rate(make: "Maker") -> None:
    """Must-show 3."""
    place = make("rate")
    events = round_of(place, ["one"] * RATE_JOBS, RATE_WORKERS)
    begun = [event.at for event in events if event.what == "b"]
    windows = []
    for start in begun:
        if start + WINDOW_S <= begun[-1]:
            windows.append(sum(start <= at < start + WINDOW_S for at in begun))
    most, least = max(windows), min(windows)
    wanted = RATE * WINDOW_S
    print(f"jobs that began in each window of {WINDOW_S:.0f} s: {least} to {most}, of {wanted:.0f}")
    print(
        f"that is {least / wanted - 1:+.1%} to {most / wanted - 1:+.1%}; {len(begun)} jobs in {begun[-1] - begun[0]:.1f} s"
    )


class Maker:
    """Makes places with an empty store and, embedded, queue."""

    def __init__(self, folder: Path, broker: str) -> None:
        self._folder = folder
        self._broker = broker
        self._valkeys: list[OwnValkey] = []

    def __call__(self, limit: str) -> Place:
        name = f"round{len(self._valkeys)}"
        valkey = OwnValkey(self._folder / name)
        valkey.start()
        self._valkeys.append(valkey)
        return Place(self._broker or valkey.url, valkey.url, self._folder / f"{name}.log", limit)

    def close(self) -> None:
        """Ends the stores."""
        for valkey in self._valkeys:
            valkey.stop()


@contextmanager
def places(broker: str) -> Iterator[Maker]:
    """Ends all that was started."""
    with TemporaryDirectory(prefix="limits-") as folder:
        maker = Maker(Path(folder), broker)
        try:
            yield maker
        finally:
            maker.close()


def main() -> None:
    """Measures both, or works."""
    if sys.argv[1:2] == ["work"]:
        queue_url, store_url, log, limit, work_s = sys.argv[2:]
        asyncio.run(work(Place(queue_url, store_url, Path(log), limit, float(work_s))))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("places", "rate"))
    only = parser.parse_args().only
    with places(os.environ.get("MOUSETRAP_BROKER_URL", "")) as make:
        if only != "rate":
            measure_places(make)
        if only != "places":
            measure_rate(make)


if __name__ == "__main__":
    main()
