"""Mousetrap as a contender: two no-op stages with every guarantee."""

import asyncio
import json
import os
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module

from benchmarks.contending import FIRST, LAST, Counter, Counts, number, order, word
from mousetrap.handlers import Binding
from mousetrap.job_queue import open_queue
from mousetrap.jobs import Queue
from mousetrap.payloads import PayloadOptions
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.run_store import RunFilter, RunStore, open_store
from mousetrap.serve_worker import serve_worker
from mousetrap.settings import Settings
from mousetrap.shapes import RunState

ORDER = order()
COUNTER = Counter(ORDER.counts)
if FORMAT := number("FORMAT", 0):
    # The wire format of new runs is no setting: it follows from the version.
    import_module("mousetrap.jobs.job").NEW_RUNS = FORMAT  # type: ignore[attr-defined]
#: A chain that is longer than the others' has so many first stages before its second.
NAMES = ("first", *(f"first_{more}" for more in range(2, number("STAGES", 2))), "second")
PIPELINE = Pipeline(
    name="hops",
    description="Hops.",
    stages=tuple(Stage(name=name, queue=f"bench_{name}", input=str, output=str) for name in NAMES),
    in_place=word("IN_PLACE", "no") == "yes",
)
ENVIRON = {
    "MOUSETRAP_BROKER_URL": ORDER.store if word("EMBEDDED", "no") == "yes" else ORDER.broker,
    "MOUSETRAP_STORE_URL": ORDER.store,
    "MOUSETRAP_SIGNING_KEYS": "bench:a-secret-for-the-benchmark",
    "MOUSETRAP_QUEUE_TYPE": word("QUEUE_TYPE", "quorum"),
    "MOUSETRAP_PAYLOAD_URL": word("PAYLOAD_URL", ""),
    "MOUSETRAP_PAYLOAD_INLINE_BYTES": str(number("PAYLOAD_INLINE_BYTES", 65_536)),
    "MOUSETRAP_METRICS": "true" if word("METRICS", "no") == "yes" else "false",
    "MOUSETRAP_HEALTH_PORT": "0" if word("METRICS", "no") == "yes" else "",
    "MOUSETRAP_LOG_LEVEL": "WARNING",
    "MOUSETRAP_CONCURRENCY": str(number("CONCURRENCY", 100 if ORDER.handler == "sleep" else 400)),
    "MOUSETRAP_PREFETCH": str(number("PREFETCH", 400)),
}
SETTINGS = Settings.from_environ(ENVIRON)
KEYRING = SETTINGS.keyring


async def first(payload: str) -> str:
    """Does nothing."""
    COUNTER.tick(FIRST)
    return payload


async def second(payload: str) -> str:
    """Does nothing."""
    COUNTER.tick(LAST)
    return payload


def first_in_a_thread(payload: str) -> str:
    """Does nothing, in a thread."""
    COUNTER.tick(FIRST)
    return payload


def second_in_a_thread(payload: str) -> str:
    """Does nothing, in a thread."""
    COUNTER.tick(LAST)
    return payload


async def first_with_a_wait(payload: str) -> str:
    """Waits as for another server."""
    await asyncio.sleep(0.01)
    return await first(payload)


async def second_with_a_wait(payload: str) -> str:
    """Waits as for another server."""
    await asyncio.sleep(0.01)
    return await second(payload)


HANDLERS = {
    "async": (first, second),
    "sync": (first_in_a_thread, second_in_a_thread),
    "sleep": (first_with_a_wait, second_with_a_wait),
}


def bind(stage: str, _: Settings) -> Binding:
    """What runs a stage; only the last one's jobs are counted as such."""
    which = LAST if stage == NAMES[-1] else FIRST
    return Binding(pipeline=PIPELINE, stage=stage, handler=HANDLERS[ORDER.handler][which])


async def opened(stack: AsyncExitStack) -> tuple[Queue, RunStore]:
    """Queue and store as a submitter has them."""
    queues = [stage.queue for stage in PIPELINE.stages]
    queue = await stack.enter_async_context(open_queue(SETTINGS, queues, name="bench"))
    store = await stack.enter_async_context(
        open_store(
            SETTINGS.store_url,
            retention=SETTINGS.retention_seconds,
            keyring=SETTINGS.keyring,
            payloads=PayloadOptions.of(SETTINGS),
        )
    )
    return queue, store


async def submit_one(queue: Queue, store: RunStore, body: bytes) -> str:
    """Starts a run and gives its id; returns when broker and store have it."""
    from mousetrap.submit_run import new_run_id, submit_run  # no worker holds it

    run_id = new_run_id(time.time_ns() // 1_000_000, os.urandom(10))
    await submit_run(store, queue, KEYRING, PIPELINE, body, run_id=run_id, is_new=True)
    return run_id


async def submit(runs: int) -> None:
    """Puts that many runs in the queue, 200 at a time; no more than 16 MiB of payloads."""
    body = json.dumps(ORDER.payload).encode()
    at_once = max(1, min(200, (16 << 20) // len(body)))
    async with AsyncExitStack() as stack:
        queue, store = await opened(stack)
        for start in range(0, runs, at_once):
            some = range(start, min(runs, start + at_once))
            await asyncio.gather(*(submit_one(queue, store, body) for _ in some))


async def latency(runs: int) -> dict[str, list[float]]:
    """Milliseconds of one run after another on idle workers, from before its submission to two ends."""
    body = json.dumps(ORDER.payload).encode()
    counts = Counts(ORDER.counts)
    took: dict[str, list[float]] = {"last handler": [], "final commit": []}
    async with AsyncExitStack() as stack:
        queue, store = await opened(stack)
        for _ in range(runs):
            before = time.monotonic_ns()
            run_id = await submit_one(queue, store, body)
            async for _ in store.watch(run_id):
                pass
            committed = time.monotonic_ns()
            took["last handler"].append((counts.read().newest - before) / 1e6)
            took["final commit"].append((committed - before) / 1e6)
            await asyncio.sleep(0.002)  # so that no end of a run meets the next
    return took


async def left() -> int:
    """How many runs are not completed."""
    count, after = 0, None
    async with AsyncExitStack() as stack:
        _, store = await opened(stack)
        while True:
            page = await store.page(RunFilter(pipeline=PIPELINE.name), limit=1000, after=after)
            count += sum(run.state is not RunState.COMPLETED for run in page.runs)
            after = page.next
            if not after:
                return count


def main(command: str, *arguments: str) -> int:
    """Does what the driver asks."""
    match command:
        case "work":
            return serve_worker(open_queue, [partial(bind, stage) for stage in NAMES], ENVIRON)
        case "submit":
            asyncio.run(submit(int(arguments[0])))
        case "latency":
            print(json.dumps(asyncio.run(latency(int(arguments[0])))))
        case "left":
            print(asyncio.run(left()))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
