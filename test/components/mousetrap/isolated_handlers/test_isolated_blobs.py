"""Isolated handlers read and write blobs through their worker."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from mousetrap.blobs import Blob, MemoryChunks, NewBlob
from mousetrap.handlers import Binding, HandlerHost, HungHandlers
from mousetrap.isolated_handlers import IsolatedHandler
from mousetrap.jobs import Done, GiveUp, Outcome, RetryLater, first_job
from mousetrap.pipeline import Pipeline, Stage
from mousetrap.shapes import Progress
from support import isolated_blobs as handlers

pytestmark = pytest.mark.slow
DATA = bytes(range(256)) * 40_000  # three chunks
KEPT: dict[tuple[str, str, int], bytes] = {}
JOB = first_job(run_id="r1", pipeline="p", stage="s", payload=b"1", accepted_ms=1)


class Away(MemoryChunks):
    """Chunks of a store that is away."""

    def get(self, name: str, number: int, size: int) -> "Future[bytes]":
        future: Future[bytes] = Future()
        future.set_exception(ConnectionError("the store is away"))
        return future


@pytest.mark.parametrize("handler", [handlers.copy, handlers.copy_async])
async def test_it_reads_and_writes_streams(handler: Callable[..., Any]) -> None:
    async with isolated(handler) as bench:
        outcome = await bench.run(stored("r1"))

        assert isinstance(outcome, Done), outcome
        blob = msgspec.json.decode(outcome.output, type=Blob)
        assert blob.key == f"r1/{JOB.id}-7-0"
        assert blob.sha256 == hashlib.sha256(DATA).hexdigest()
        assert blob.within(MemoryChunks("r1", bench.kept)).open().read() == DATA


@pytest.mark.parametrize("handler", [handlers.copy, handlers.copy_async])
async def test_a_broken_blob_gives_the_job_up_and_a_store_that_is_away_does_not(
    handler: Callable[..., Any],
) -> None:
    async with isolated(handler) as bench:
        blob = stored("r1")
        del bench.kept["r1", "film", 1]
        outcome = await bench.run(blob)
        assert isinstance(outcome, GiveUp)
        assert outcome.reason == "payload-missing"
        assert outcome.failure.kind.endswith("BlobBroken")

    async with isolated(handler, chunks=Away) as bench:
        outcome = await bench.run(stored("r1"))
        assert isinstance(outcome, RetryLater)
        assert not outcome.counted
        assert "away" in outcome.failure.text


async def test_the_blob_of_another_run_is_refused() -> None:
    async with isolated(handlers.copy) as bench:
        outcome = await bench.run(stored("r2"))

        assert isinstance(outcome, GiveUp)
        assert outcome.reason == "contract"
        assert "another run" in outcome.failure.text


async def test_a_time_limit_ends_it_while_it_waits_for_chunks() -> None:
    async with isolated(handlers.copy_for_long, timeout=3.0) as bench:
        outcome = await bench.run(stored("r1"))

        assert isinstance(outcome, RetryLater)
        assert outcome.failure.kind.endswith("TimeLimitExceeded")


@dataclass
class Bench:
    """An isolated handler, and the chunks of its runs."""

    handler: IsolatedHandler
    kept: dict[tuple[str, str, int], bytes]

    async def run(self, blob: Blob) -> Outcome:
        job = replace(JOB, payload=msgspec.Raw(msgspec.json.encode(blob)))
        return await self.handler.run(job, fence=7)


@asynccontextmanager
async def isolated(
    handler: Callable[..., Any], *, chunks: type[MemoryChunks] = MemoryChunks, **stage: Any
) -> AsyncIterator[Bench]:
    """A handler in a process of its own, which is ended afterwards."""
    pipeline = Pipeline(
        name="p",
        description="One stage.",
        stages=(Stage(name="s", queue="q", input=Blob, output=Blob, **stage),),
    )
    host = HandlerHost(
        threads=ThreadPoolExecutor(1),  # starts none, as an isolated handler needs none
        hung=HungHandlers(),
        worker="w",
        report=drop,
        chance=lambda: 0.5,
        chunks=partial(chunks, kept=KEPT),
    )
    binding = Binding(pipeline=pipeline, stage="s", handler=handler, isolated=True)
    isolated = IsolatedHandler(binding, host, processes=1)
    try:
        yield Bench(isolated, KEPT)
    finally:
        await asyncio.wait_for(isolated.close(), 60)


def stored(run_id: str) -> Blob:
    """A blob of this run."""
    with NewBlob(MemoryChunks(run_id, KEPT), "film") as file:
        file.write(DATA)
    return file.blob


async def drop(run_id: str, progress: Progress) -> None:
    """Keeps no progress."""
