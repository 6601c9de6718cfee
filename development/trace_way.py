"""Counts calls, functions and files of POST, submit and job.

    PYTHONPATH=development:test .venv/bin/python -m trace_way [--order] [--queue rabbitmq]

Servers, event loop and handlers are real: a private RabbitMQ node, a private Valkey, a chain of two async stages. Each trip
is made three times first, so that connections and caches are warm. Counted are our own Python functions alone, from
components/ and bases/: no library, no Lua, and a comprehension belongs to the function around it. A coroutine counts once,
however often it is resumed.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType
from typing import Any, cast

import httpx
import uvloop

from mousetrap.api import create_app
from mousetrap.catalogue import PIPELINES
from mousetrap.earthquakes import EARTHQUAKES
from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.handlers import Binding
from mousetrap.job_queue import open_queue
from mousetrap.jobs import Delivery, Queue, Subscription
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.run_store import RunStore, open_store
from mousetrap.settings import Settings
from mousetrap.submit_run import new_run_id, submit_run
from mousetrap.worker import Stop, WorkerOptions, run_worker
from support.rabbitmq import find_own_rabbitmq, virtual_host

ROOT = Path(__file__).parents[1]
#: Trips before the one that is traced.
WARM_UP = 3
#: Seconds for the job, and between two trips: what one leaves behind must not be counted in the next.
TIMEOUT_S, SETTLE_S = 20.0, 0.05
PIPELINE = Pipeline(
    name="hops",
    description="Two hops.",
    stages=tuple(
        Stage(name=name, queue=f"hops_{name}", input=int, output=int) for name in ("first", "second")
    ),
)


@dataclass
class Trace:
    """The calls of our own functions while it is on, in order."""

    calls: list[CodeType] = field(default_factory=list)
    _frames: list[FrameType] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)
    _on: bool = False
    _acknowledged: Callable[[], object] | None = None

    def start(self, acknowledged: Callable[[], object] | None = None) -> None:
        """Counts from here on; calls `acknowledged` when a delivery is."""
        for task in asyncio.all_tasks():
            self._leave_out(task)
        self._on, self._acknowledged = True, acknowledged
        sys.setprofile(self._profile)

    def stop(self) -> None:
        """Counts no more."""
        sys.setprofile(None)
        self._on = False

    def _profile(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event != "call" or not self._on or _brick(frame.f_code) is None or id(frame) in self._seen:
            return
        self._frames.append(frame)  # held, so that no later frame has its id
        self._seen.add(id(frame))
        if not frame.f_code.co_name.endswith("comp>") and frame.f_code.co_name != "<genexpr>":
            self.calls.append(frame.f_code)
        if frame.f_code.co_name == "acknowledge" and self._acknowledged is not None:
            self._acknowledged()
            self._acknowledged = None

    def _leave_out(self, task: "asyncio.Task[Any]") -> None:
        """What runs already is resumed, and not called."""
        inner: Any = task.get_coro()
        while (frame := getattr(inner, "cr_frame", None)) is not None:
            self._frames.append(frame)
            self._seen.add(id(frame))
            inner = inner.cr_await

    @property
    def files(self) -> list[str]:
        """The files in the order of the calls, one entry a call."""
        return [code.co_filename for code in self.calls]

    def row(self) -> list[int]:
        """Calls, functions, files, bricks, changes of file."""
        files = self.files
        changes = sum(one != other for one, other in pairwise(files))
        bricks = {_brick(code) for code in self.calls}
        return [len(self.calls), len(set(self.calls)), len(set(files)), len(bricks), changes]

    def order(self) -> list[str]:
        """Each function at its first call, with the number of its calls."""
        return [
            f"{Path(code.co_filename).relative_to(ROOT)}:{code.co_firstlineno} {code.co_qualname} x{self.calls.count(code)}"
            for code in dict.fromkeys(self.calls)
        ]


def _brick(code: CodeType) -> str | None:
    parts = Path(code.co_filename).parts
    if not code.co_filename.startswith(str(ROOT)) or "mousetrap" not in parts:
        return None
    return parts[parts.index("mousetrap") + 1] if {"components", "bases"} & set(parts) else None


class FirstStage:
    """The first stage's handler, which notes what is above it."""

    def __init__(self) -> None:
        self.frames: list[str] = []

    async def add_one(self, number: int) -> int:
        """Adds one."""
        self.frames = _frames_above()
        return number + 1


def _frames_above() -> list[str]:
    """Our frames above the handler that calls this: in its own task, after those of the worker's runner where that waits for it."""
    chains = [_awaits(task) for task in asyncio.all_tasks() - {asyncio.current_task()}]
    # A handler that is stepped in place has no runner that waits for it.
    runners = (chain for chain in chains if any(code.co_name in ("handle", "process") for code in chain))
    runner = [code.co_qualname for code in next(runners, [])]
    own: list[str] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if _brick(frame.f_code):
            own.insert(0, frame.f_code.co_qualname)
        frame = frame.f_back
    return [*runner, "(the handler's task)", *own] if runner else own


def _awaits(task: "asyncio.Task[Any]") -> list[CodeType]:
    """The coroutines of ours that the task is in, the outermost first."""
    chain: list[CodeType] = []
    inner: Any = task.get_coro()
    while (code := getattr(inner, "cr_code", None)) is not None:
        chain += [code] if _brick(code) else []
        inner = inner.cr_await
    return chain


class Watched:
    """A queue that traces one job: from the delivery that ends the warm-up until it is acknowledged."""

    def __init__(self, queue: Queue) -> None:
        self.trace = Trace()
        self.acknowledged = asyncio.Event()
        self._queue = queue
        self._warm = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    async def consume(self, queue: str, prefetch: int, receive: Callable[[Delivery], None]) -> Subscription:
        """Hands deliveries on, and starts the trace with the first one after the warm-up."""

        def received(delivery: Delivery) -> None:
            receive(delivery)
            self._warm += 1
            if self._warm == WARM_UP + 1:
                self.trace.start(lambda: asyncio.get_running_loop().call_soon(self._stop))

        return await self._queue.consume(queue, prefetch, received)

    def _stop(self) -> None:
        self.trace.stop()
        self.acknowledged.set()


@dataclass(frozen=True)
class Trips:
    """What is traced, on one queue."""

    settings: Settings
    queue: Queue
    store: RunStore

    async def post(self) -> Trace:
        """One POST that starts a run, from the request to the response."""
        app = create_app(self.settings, PIPELINES)
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            return await _traced(lambda: _posted(client))

    async def submit(self) -> Trace:
        """One `submit_run`, until broker and store have the run."""
        return await _traced(self._submitted)

    async def job(self) -> tuple[Trace, list[str]]:
        """One job of the first stage, and what is above its handler; the run goes on in a queue that is not served."""
        watched, handler, stop = Watched(self.queue), FirstStage(), Stop()
        binding = Binding(pipeline=PIPELINE, stage="first", handler=handler.add_one)
        options = WorkerOptions(name="trace", keyring=self.settings.keyring, concurrency=1, prefetch=1)
        for _ in range(WARM_UP + 1):
            await self._submitted()
        worker = asyncio.create_task(run_worker(cast(Queue, watched), self.store, [binding], options, stop))
        await asyncio.wait_for(watched.acknowledged.wait(), TIMEOUT_S)
        stop.ask()
        await worker
        return watched.trace, handler.frames

    async def _submitted(self) -> None:
        run_id = new_run_id(time.time_ns() // 1_000_000, os.urandom(10))
        await submit_run(self.store, self.queue, self.settings.keyring, PIPELINE, b"1", run_id=run_id)


async def _posted(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"/pipelines/{EARTHQUAKES.name}/runs")
    assert answer.status_code == 202, answer.text


async def _traced(trip: Callable[[], Coroutine[Any, Any, None]]) -> Trace:
    for _ in range(WARM_UP):
        await trip()
        await asyncio.sleep(SETTLE_S)
    trace = Trace()
    trace.start()
    try:
        await trip()
    finally:
        trace.stop()
    return trace


async def _trace_all(settings: Settings, name: str, order: bool) -> None:
    queues = [stage.queue for stage in PIPELINE.stages]
    async with (
        open_queue(settings, queues, name="trace") as queue,
        open_store(settings.store_url, retention=3600, keyring=settings.keyring) as store,
    ):
        trips = Trips(settings, queue, store)
        job, frames = await trips.job()
        traces = {"POST": await trips.post(), "submit_run": await trips.submit(), "one job": job}
    for trip, trace in traces.items():
        print(f"| {trip}, {name} | {' | '.join(map(str, trace.row()))} |")
        if order:
            print("\n" + "\n".join(trace.order()) + "\n")
    print(f"\nabove the handler: {' -> '.join(frames)} -> your function\n", flush=True)


def main() -> None:
    """Prints a table for each queue."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--order", action="store_true", help="list each function at its first call")
    parser.add_argument("--queue", choices=("rabbitmq", "embedded"), help="one of the two only")
    chosen = parser.parse_args()
    print("| trip | calls | functions | files | bricks | changes of file |\n|---|---:|---:|---:|---:|---:|")
    with TemporaryDirectory() as folder, EmbeddedValkey(Path(folder) / "valkey") as store:
        if chosen.queue != "rabbitmq":
            uvloop.run(_trace_all(_settings(store.url, store.url), "embedded", chosen.order))
        if chosen.queue != "embedded":
            (place := Path(folder) / "rabbitmq").mkdir()
            broker = find_own_rabbitmq(place)
            try:
                with virtual_host(broker) as url:
                    uvloop.run(_trace_all(_settings(url, store.url), "RabbitMQ", chosen.order))
            finally:
                broker.remove()


def _settings(broker: str, store: str) -> Settings:
    return Settings.from_environ(
        {
            "MOUSETRAP_BROKER_URL": broker,
            "MOUSETRAP_STORE_URL": store,
            "MOUSETRAP_SIGNING_KEYS": "trace:a-secret-for-the-trace",
            "MOUSETRAP_LOG_LEVEL": "WARNING",
        }
    )


if __name__ == "__main__":
    main()
