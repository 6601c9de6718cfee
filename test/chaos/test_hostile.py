"""Tests a worker with thousands of failing jobs between good ones.

`MOUSETRAP_HOSTILE_JOBS=24000 pytest test/chaos/test_hostile.py -s` does many and prints the figures.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chaos import hostile_worker
from chaos.hostile_worker import BROKEN, CONCURRENCY, IN_LOOP, IN_THREAD, QUEUES, SLOW, STOPPING
from mousetrap.job_queue import connect
from mousetrap.jobs import Delivery, Message, Queue, dead_queue
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import RunStore, open_store
from mousetrap.shapes import RunState
from mousetrap.signing import Keyring
from mousetrap.submit_run import submit_run
from support import hostile_handlers as hostile
from support.processes import Process, clean_environment
from support.stack import SIGNING_KEYS
from support.waiting import until

JOBS = int(os.environ.get("MOUSETRAP_HOSTILE_JOBS", "600"))
#: Bytes that the worker's memory may grow by after the first quarter of the jobs.
MAX_GROWTH = 20 * 1024 * 1024
#: Seconds for a hundred jobs, at most: it ends.
_HUNDRED_S = 30.0
_KEYRING = Keyring.parse(SIGNING_KEYS)
_QUICK = [*sorted(set(hostile.ERRORS) - set(SLOW)), *BROKEN, "progress"]
_IN_LOOP = [*(handler.__name__ for handler in hostile.CANCELLED), *STOPPING]


@pytest.fixture
def worker(queue_url: str, store_url: str) -> Iterator[Process]:
    """The worker, on that queue."""
    settings = {
        "MOUSETRAP_BROKER_URL": queue_url,
        "MOUSETRAP_STORE_URL": store_url,
        "MOUSETRAP_SIGNING_KEYS": SIGNING_KEYS,
        "MOUSETRAP_CONCURRENCY": str(CONCURRENCY),
        "MOUSETRAP_HEALTH_PORT": "0",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    with Process([sys.executable, str(hostile_worker.__file__)], clean_environment(**settings)) as process:
        process.wait_for_line("serving", 60)
        yield process


def plan(jobs: int) -> Iterator[tuple[Pipeline, str]]:
    """Every second job is good, of the others each fails in its own way; as many in a thread as on the loop."""
    bad = 0
    for number in range(jobs):
        pipeline = (IN_THREAD, IN_LOOP)[number // 2 % 2]
        if number % 2:
            yield pipeline, f"good-{number}"
            continue
        kinds = _QUICK + (_IN_LOOP if pipeline is IN_LOOP else [])
        bad += 1
        yield pipeline, SLOW[bad // 500 % len(SLOW)] if bad % 500 == 10 else kinds[bad // 2 % len(kinds)]


class Load:
    """What was submitted, and the result."""

    def __init__(self, queue: Queue, store: RunStore, process: Process) -> None:
        self._queue = queue
        self._store = store
        self._process = process
        self._room = asyncio.Semaphore(100)
        self.kinds: dict[str, str] = {}

    async def submit(self, pipeline: Pipeline, kind: str) -> None:
        run_id = f"h{len(self.kinds)}"
        self.kinds[run_id] = kind
        async with self._room:
            body = json.dumps(kind).encode()
            await submit_run(self._store, self._queue, _KEYRING, pipeline, body, run_id=run_id)

    async def ended(self) -> None:
        """Returns once all runs have."""
        deadline = time.monotonic() + 60 + _HUNDRED_S * len(self.kinds) / 100
        left = set(self.kinds)
        while left:
            for run_id in list(left):
                run = await self._store.get(run_id)
                if run is None or not run.state.ended:
                    break
                left.discard(run_id)
            else:
                return
            assert self._process.running, self._process.output[-5_000:]
            assert time.monotonic() < deadline, f"{len(left)} of {len(self.kinds)} runs have not ended"
            await asyncio.sleep(0.2)

    async def check(self) -> None:
        """Raises AssertionError unless each good run is done and each bad one lies dead with its story."""
        for run_id, kind in self.kinds.items():
            run = await self._store.get(run_id)
            assert run is not None
            good = kind.startswith(("good", "meet"))
            assert run.state == (RunState.COMPLETED if good else RunState.FAILED), kind
            assert good or (run.failure is not None and run.failure.kind), kind
            started = [event.kind for event in run.timeline].count("started")
            assert started == (1 if good or kind in BROKEN else 2), (kind, started)

    @property
    def bad(self) -> set[str]:
        """The runs that are to fail."""
        return {run for run, kind in self.kinds.items() if not kind.startswith(("good", "meet"))}

    async def letters(self) -> list[Message]:
        """All dead letters, taken off their queues: a failure is recorded first, and its letter published then."""
        received: asyncio.Queue[Message] = asyncio.Queue()

        def take(delivery: Delivery) -> None:
            received.put_nowait(delivery.message)
            delivery.acknowledge()

        subscriptions = [await self._queue.consume(queue, 100, take) for queue in map(dead_queue, QUEUES)]
        found = [await asyncio.wait_for(received.get(), 60) for _ in self.bad]
        for subscription in subscriptions:
            await subscription.stop()
        assert received.empty()
        return found


def memory(pid: int) -> int:
    """Bytes of it in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def is_ready(process: Process) -> bool:
    line = process.wait_for_line("health endpoint: ")
    address = line.partition("endpoint: ")[2].partition("/health")[0]
    return httpx.get(f"{address}/health/ready", trust_env=False, timeout=60).status_code == 200


@pytest.mark.long
async def test_good_jobs_are_done_and_hostile_ones_kept_and_the_worker_is_as_before(
    queue_url: str, store_url: str, worker: Process
) -> None:
    async with (
        connect(queue_url, QUEUES, name="test") as queue,
        open_store(store_url, retention=3600, keyring=_KEYRING) as store,
    ):
        load = Load(queue, store, worker)
        jobs, began, grown = list(plan(JOBS)), time.monotonic(), []
        for quarter in range(4):
            share = jobs[quarter * JOBS // 4 : (quarter + 1) * JOBS // 4]
            await asyncio.gather(*(load.submit(*job) for job in share))
            await load.ended()
            grown.append(memory(worker.pid))
        took = time.monotonic() - began
        await asyncio.to_thread(until, lambda: is_ready(worker), "the worker is ready")
        await asyncio.gather(*(load.submit(IN_THREAD, f"meet-{place}") for place in range(CONCURRENCY)))
        await load.ended()
        await load.check()
        letters = await load.letters()
        report(queue_url, load, letters, took, grown)

    assert "could not handle" not in worker.output
    assert "a runner ended" not in worker.output
    worker.send(signal.SIGINT)  # that handlers raise KeyboardInterrupt changes nothing about a real one
    assert worker.wait(60) == 0


def report(url: str, load: Load, letters: list[Message], took: float, grown: list[int]) -> None:
    """Prints the figures; raises AssertionError where they are wrong."""
    assert Counter(letter.headers["mousetrap-run"] for letter in letters) == Counter(load.bad)
    reasons = Counter(letter.headers["mousetrap-reason"] for letter in letters)
    assert set(reasons) == {"max-retries", "contract"}
    assert all(letter.headers["mousetrap-error-type"] for letter in letters)
    steps = ", ".join(f"{each / 2**20:.1f}" for each in grown)
    print(
        f"\n{url.partition(':')[0]}: {len(load.kinds)} jobs of {len(set(_QUICK + _IN_LOOP))} hostile kinds, "
        f"{len(load.bad)} dead ({dict(reasons)}), {JOBS / took:.0f} jobs/s; memory after each quarter: {steps} MB"
    )
    assert max(grown) - grown[0] < MAX_GROWTH, grown
