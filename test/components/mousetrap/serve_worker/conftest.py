"""Workers as processes with misbehaving handlers, and runs for them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import httpx
import msgspec
import pytest

from mousetrap.job_queue import connect
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import open_store
from mousetrap.shapes import Run, Worker
from mousetrap.worker_registry import open_registry
from support import blocking_worker
from support.blocking_worker import IN_LOOP, IN_THREAD, Order
from support.clients import NO_ONE
from support.processes import Process, clean_environment
from support.stack import SIGNING_KEYS
from support.workbench import Workbench

Given = TypeVar("Given")
TESTS = Path(blocking_worker.__file__).parents[1]


@pytest.fixture
def start_worker(store_url: str) -> Iterator[Callable[..., Process]]:
    """`start_worker(MOUSETRAP_…="…")` starts one on the tests' store, which is its queue as well; `program` is its module."""
    started: list[Process] = []

    def start(*arguments: str, program: ModuleType = blocking_worker, **settings: str) -> Process:
        given = {
            "MOUSETRAP_BROKER_URL": store_url,
            "MOUSETRAP_STORE_URL": store_url,
            "MOUSETRAP_SIGNING_KEYS": SIGNING_KEYS,
            "PYTHONPATH": str(TESTS),
            **settings,
        }
        command = [sys.executable, str(program.__file__), *arguments]
        started.append(Process(command, clean_environment(**given)))
        return started[-1]

    yield start
    for process in started:
        process.kill()


class Runs:
    """Runs for the workers, from outside; a mark is a file in `folder` that handlers make or wait for."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder

    def mark(self, how: str) -> Path:
        """What the attempt that is to do so makes, or waits for."""
        return self._folder / how

    def submit(self, pipeline: Pipeline, how: str) -> str:
        """Starts a run whose first attempt does so."""
        order = msgspec.json.encode(Order(how, str(self.mark(how))))
        return self._on_bench(pipeline, lambda bench: bench.submit(order))

    def cancel(self, run_id: str) -> None:
        """Cancels the run."""
        self._on_bench(IN_LOOP, lambda bench: bench.store.cancel(run_id))

    def ended(self, run_id: str) -> Run:
        """The run, once it has ended."""
        return self._on_bench(IN_LOOP, lambda bench: bench.ended(run_id))

    def workers(self) -> tuple[Worker, ...]:
        """Those that the registry knows."""

        async def ask() -> tuple[Worker, ...]:
            async with open_registry(self._url) as registry:
                return await registry.workers()

        return asyncio.run(ask())

    def ask(self, worker: Process, what: str) -> tuple[int, str]:
        """The worker's answer to a supervisor: the HTTP status, and the reason or else the good status."""
        address = worker.wait_for_line("health endpoint: ").partition("endpoint: ")[2].partition("/health")[0]
        answer = httpx.get(f"{address}/health/{what}", trust_env=False, verify=NO_ONE, timeout=60)
        body = answer.json()
        return answer.status_code, body.get("reason", body["status"])

    def _on_bench(self, pipeline: Pipeline, act: Callable[[Workbench], Awaitable[Given]]) -> Given:
        async def acted() -> Given:
            queues = [stage.queue for each in (IN_LOOP, IN_THREAD, pipeline) for stage in each.stages]
            async with (
                connect(self._url, queues, name="test") as queue,
                open_store(self._url, retention=3600) as store,
            ):
                return await act(Workbench(queue, store, pipeline))

        return asyncio.run(acted())


@pytest.fixture
def runs(store_url: str, tmp_path: Path) -> Runs:
    """Runs, and what is known of the workers."""
    return Runs(store_url, tmp_path)
