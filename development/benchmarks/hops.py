"""Measures jobs a second through two chained no-op stages in one worker process, and the time of an idle two-stage run.

All guarantees are on: signed envelopes, claims, recorded outcomes, confirmed persistent publishes, acknowledgements.

    python development/benchmarks/hops.py amqp://guest:guest@127.0.0.1:5672/ valkey://127.0.0.1:6379/9
    python development/benchmarks/hops.py --embedded

The store's database is used as it is and gets a day's worth of keys: name one of its own.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.job_queue import connect
from mousetrap.jobs import Queue
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.run_store import RunState, RunStore, open_store
from mousetrap.signing import Keyring
from mousetrap.submit_run import new_run_id, submit_run
from mousetrap.worker import Binding, Stop, WorkerOptions, run_worker

KEYRING = Keyring.parse("bench:a-secret-for-the-benchmark")


def add_one(number: int) -> int:
    """A handler that does nothing worth waiting for."""
    return number + 1


async def add_one_async(number: int) -> int:
    """The same on the event loop, where handlers cost least."""
    return number + 1


def two_hops() -> Pipeline:
    """Two no-op stages on queues of this measurement alone."""
    mark = uuid4().hex[:8]
    stages = [Stage(name=n, queue=f"bench_{n}_{mark}", input=int, output=int) for n in ("first", "second")]
    return Pipeline(name=f"hops_{mark}", description="Two hops.", stages=tuple(stages))


async def submit_all(store: RunStore, queue: Queue, pipeline: Pipeline, runs: int) -> list[str]:
    """Submits that many runs, 200 at a time, and gives their ids."""
    ids = [new_run_id(time.time_ns() // 1_000_000, os.urandom(10)) for _ in range(runs)]
    for start in range(0, runs, 200):
        some = ids[start : start + 200]
        await asyncio.gather(
            *(submit_run(store, queue, KEYRING, pipeline, b"1", run_id=run_id) for run_id in some)
        )
    return ids


async def throughput(
    store: RunStore, queue: Queue, pipeline: Pipeline, runs: int, concurrency: int
) -> tuple[float, float]:
    """Jobs a second of one worker that finds all its runs waiting, and this process's CPU seconds for each job."""
    ids = await submit_all(store, queue, pipeline, runs)
    began, cpu = time.perf_counter(), time.process_time()
    await work(store, queue, pipeline, concurrency, burst=True)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    last = await store.get(ids[-1])
    page = await store.page(pipeline=pipeline.name, limit=runs)
    done = sum(run.state is RunState.COMPLETED for run in page.runs)
    if done != runs or last is None or last.result != 3:
        raise SystemExit(f"only {done} of {runs} runs completed")
    return 2 * runs / seconds, cpu / (2 * runs)


async def latencies(store: RunStore, queue: Queue, pipeline: Pipeline, runs: int) -> list[float]:
    """Seconds from submission to the result of one run after another, on an idle worker."""
    stop = Stop()
    working = asyncio.create_task(work(store, queue, pipeline, 4, burst=False, stop=stop))
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        [run_id] = await submit_all(store, queue, pipeline, 1)
        async for _ in store.watch(run_id):
            pass
        took.append(time.perf_counter() - began)
    stop.ask()
    await working
    return took


async def work(
    store: RunStore,
    queue: Queue,
    pipeline: Pipeline,
    concurrency: int,
    *,
    burst: bool,
    stop: Stop | None = None,
) -> None:
    """Serves both stages in this process."""
    bindings = [
        Binding(pipeline=pipeline, stage=stage.name, handler=add_one_async) for stage in pipeline.stages
    ]
    options = WorkerOptions(
        name="bench", concurrency=concurrency, prefetch=concurrency, burst=burst, keyring=KEYRING
    )
    await run_worker(queue, store, bindings, options, stop or Stop())


async def measure(broker: str, store_url: str, runs: int, concurrency: int) -> None:
    """Prints one line of figures."""
    pipeline = two_hops()
    queues = [stage.queue for stage in pipeline.stages]
    async with connect(broker, queues, name="bench") as queue, open_store(store_url, retention=3600) as store:
        await throughput(store, queue, pipeline, 200, concurrency)  # declares, loads and warms
        rate, cpu = await throughput(store, queue, pipeline, runs, concurrency)
        took = await latencies(store, queue, pipeline, 200)
    p50, p99 = statistics.median(took) * 1000, statistics.quantiles(took, n=100)[98] * 1000
    scheme = broker.partition(":")[0]
    print(
        f"{scheme}: {rate:,.0f} jobs/s, {cpu * 1e6:.0f} µs of CPU each ({runs} runs, {concurrency} at once); "
        f"idle run p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    )


@contextlib.contextmanager
def embedded() -> Iterator[str]:
    """The address of an embedded server for this measurement."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedValkey(Path(folder)) as server:
        yield server.url


def main() -> None:
    """Reads the addresses and measures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("broker", nargs="?")
    parser.add_argument("store", nargs="?")
    parser.add_argument(
        "--embedded", action="store_true", help="use an embedded Valkey for what is not given"
    )
    parser.add_argument("--runs", type=int, default=5_000)
    parser.add_argument("--concurrency", type=int, default=200)
    chosen = parser.parse_args()
    if not chosen.store and not chosen.embedded:
        sys.exit(parser.format_usage())
    with embedded() if not chosen.store else contextlib.nullcontext(chosen.store) as store:
        asyncio.run(measure(chosen.broker or store, store, chosen.runs, chosen.concurrency))


if __name__ == "__main__":
    main()
