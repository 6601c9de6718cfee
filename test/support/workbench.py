"""Runs workers on a pipeline, queue and store of one test."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from mousetrap.handlers import Binding, Context
from mousetrap.job_queue import QueueOptions, connect
from mousetrap.jobs import Delivery, Message, Queue, QueueUnreachable, dead_queue
from mousetrap.payloads import PayloadOptions
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.run_store import RunStore, StoredRun, open_store
from mousetrap.signing import Keyring
from mousetrap.submit_run import Submitter
from mousetrap.worker import Pauses, Stop, WorkerOptions, WorkerStats, run_worker

KEYRING = Keyring.parse("test:a-secret-for-the-tests")
TIMEOUT_S = 60.0
#: For a test that needs no second queue: its fixtures `queue_url` and `bench` are on streams in Valkey alone.
on_streams = pytest.mark.parametrize("queue_url", ["streams"], indirect=True)


def just_now_ms() -> int:
    """When a run was accepted, for jobs that a test makes: asked for when it is needed, as a suite takes long."""
    return int(time.time() * 1000)


@dataclass(frozen=True)
class Workbench:
    """An open queue and store, and a pipeline `add` -> `double` over whole numbers."""

    queue: Queue
    store: RunStore
    pipeline: Pipeline

    @property
    def submitter(self) -> Submitter:
        return Submitter(self.store, self.queue, KEYRING, {self.pipeline.name: self.pipeline})

    async def submit(self, body: bytes = b"1", run_id: str | None = None) -> str:
        """Starts a run and gives its id."""
        return (await self.submitter.submit(self.pipeline, body, run_id=run_id or uuid4().hex)).run_id

    def bind(self, stage: str, handler: Callable[..., Any], **more: Any) -> Binding:
        return Binding(pipeline=self.pipeline, stage=stage, handler=handler, **more)

    @asynccontextmanager
    async def working(
        self,
        *bindings: Binding,
        stats: WorkerStats | None = None,
        pauses: Pauses | None = None,
        **options: Any,
    ) -> AsyncIterator["Working"]:
        """A worker that serves the bindings until the block ends, and is drained then."""
        stop = Stop()
        chosen = WorkerOptions(**{"name": f"w-{uuid4().hex[:6]}", "keyring": KEYRING, **options})
        task = asyncio.create_task(run_worker(self.queue, self.store, bindings, chosen, stop, stats, pauses))
        try:
            yield Working(chosen.name, stop, task)
        finally:
            stop.ask()
            await asyncio.wait_for(task, TIMEOUT_S)

    async def ended(self, run_id: str) -> StoredRun:
        """The run, once it has ended."""
        async with asyncio.timeout(TIMEOUT_S):
            async for _ in self.store.watch(run_id):
                pass
        run = await self.store.get(run_id)
        assert run is not None
        return run

    async def until(self, run_id: str, kind: str) -> None:
        """Returns once the run's timeline has an event of that kind."""
        async with asyncio.timeout(TIMEOUT_S):
            async for news in self.store.watch(run_id):
                if getattr(news, "kind", None) == kind:
                    return

    async def dead_letter(self, stage: str) -> Message:
        """The next dead letter of a stage, taken off its queue."""
        delivery = await self.next_of(dead_queue(self.queue_of(stage)))
        delivery.acknowledge()
        return delivery.message

    async def next_of(self, queue: str) -> Delivery:
        """The next message of a queue, unsettled."""
        received: asyncio.Queue[Delivery] = asyncio.Queue()
        subscription = await self.queue.consume(queue, 1, received.put_nowait)
        try:
            return await asyncio.wait_for(received.get(), TIMEOUT_S)
        finally:
            await subscription.stop()

    async def put_back(self, delivery: Delivery) -> None:
        """Hands a message back to a queue without a consumer; returns once it is there, which no answer reports."""
        before = await self.queue.count_ready(delivery.queue)
        assert delivery.hand_back()
        async with asyncio.timeout(TIMEOUT_S):
            while await self.queue.count_ready(delivery.queue) == before:  # noqa: ASYNC110  no event
                await asyncio.sleep(0.01)

    def queue_of(self, stage: str) -> str:
        found = self.pipeline.stage(stage)
        assert found is not None
        return found.queue


@dataclass(frozen=True)
class Working:
    """A worker under way."""

    name: str
    stop: Stop
    task: "asyncio.Task[bool]"


def a_pipeline(**more: Any) -> Pipeline:
    """`add` -> `double`, tried three times without a noticeable pause."""
    mark = uuid4().hex[:8]
    policy = RetryPolicy(attempts=3, base=0.001, cap=0.001, dont_retry_on=(ZeroDivisionError,))
    stages = [
        Stage(
            **{"name": name, "queue": f"{name}_{mark}", "input": int, "output": int, "retry": policy, **more}
        )
        for name in ("add", "double")
    ]
    return Pipeline(name=f"sums_{mark}", description="Adds one and doubles.", stages=tuple(stages))


@asynccontextmanager
async def workbench(
    queue_url: str, store_url: str, *, options: QueueOptions | None = None, **stage: Any
) -> AsyncIterator[Workbench]:
    """Opens a queue and a store for a new pipeline; `stage` is what its stages have in common."""
    async with workbench_for(a_pipeline(**stage), queue_url, store_url, options) as bench:
        yield bench


@asynccontextmanager
async def workbench_for(
    pipeline: Pipeline,
    queue_url: str,
    store_url: str,
    options: QueueOptions | None = None,
    payloads: PayloadOptions | None = None,
) -> AsyncIterator[Workbench]:
    """Opens a queue and a store for a pipeline."""
    queues = [stage.queue for stage in pipeline.stages]
    async with (
        connect(queue_url, queues, name="test", options=options or QueueOptions()) as queue,
        open_store(
            store_url, retention=3600, keyring=KEYRING, payloads=payloads or PayloadOptions()
        ) as store,
    ):
        await connected(queue, queues[0])
        yield Workbench(queue, store, pipeline)


async def connected(queue: Queue, name: str) -> None:
    """Returns once requests are answered. The first connection to a new virtual host declares some thirty queues.

    On a busy machine that takes longer than the two seconds in which a request must be answered.
    """
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            with suppress(QueueUnreachable):
                await queue.count_ready(name)
                return
            # A refusal may come in the same turn, and this loop's timeout would never come.
            await asyncio.sleep(0.01)


async def add(number: int) -> int:
    """The handler that the first stage is made for."""
    return number + 1


def double(number: int, context: Context[None]) -> int:
    """The handler that the second stage is made for."""
    return number * 2
