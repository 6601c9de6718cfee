"""A process killed between a put and what refers to it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from mousetrap.payloads.backend import HOME
from mousetrap.run_store import RunStore
from mousetrap.shapes import RunState
from mousetrap.store_client import open_client
from mousetrap.worker import Stop
from support.dying_payloads import TEXT, opened, submit, work
from support.valkey import end_consumers

TIMEOUT_S = 60.0


@pytest.fixture(params=["store", "folder"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the payloads are: empty for the run store."""
    return str(tmp_path) if request.param == "folder" else ""


async def test_a_submitter_killed_after_its_put_leaves_an_orphan_that_the_sweep_removes(
    store_url: str, folder: str
) -> None:
    mark, lost, repeated = uuid4().hex[:8], uuid4().hex, uuid4().hex
    for run_id in (lost, repeated):
        await dies("submit", store_url, folder, mark, run_id)
        assert await kept(store_url, folder, run_id) == 1
    async with opened(store_url, store_url, folder, mark) as (queue, store):
        assert await store.known([lost, repeated]) == set()
        await submit(queue, store, mark, repeated)  # the caller had no answer, and asks again
        await sweep(store)
        assert [await kept(store_url, folder, run_id) for run_id in (lost, repeated)] == [0, 1]
        async with working(store_url, folder, mark):
            assert await result_of(store, repeated) == TEXT.upper() + "X"


async def test_a_worker_killed_after_its_put_costs_nothing(store_url: str, folder: str) -> None:
    mark, run_id = uuid4().hex[:8], uuid4().hex
    async with opened(store_url, store_url, folder, mark) as (queue, store):
        await submit(queue, store, mark, run_id)
        await dies("work", store_url, folder, mark, run_id)
        assert await kept(store_url, folder, run_id) == 2
        async with working(store_url, folder, mark):
            assert await result_of(store, run_id) == TEXT.upper() + "X"
        assert await kept(store_url, folder, run_id) == 3  # input, output and result, one each
        await sweep(store)
        assert await kept(store_url, folder, run_id) == 3


async def test_a_sweep_killed_in_the_middle_is_finished_by_the_next(store_url: str, folder: str) -> None:
    mark, orphans, run_id = uuid4().hex[:8], [uuid4().hex for _ in range(3)], uuid4().hex
    async with opened(store_url, store_url, folder, mark) as (queue, store):
        for orphan in orphans:
            await store.payloads.put(orphan, b"x" * 100_000)
        await dies("sweep", store_url, folder, mark, run_id)
        await submit(queue, store, mark, run_id)
        await asyncio.gather(sweep(store), sweep(store))  # as two processes may
        assert [await kept(store_url, folder, each) for each in (*orphans, run_id)] == [0, 0, 0, 1]


async def dies(step: str, store_url: str, folder: str, mark: str, run_id: str) -> None:
    """Runs a process until it has killed itself at this step."""
    command = ("-m", "support.dying_payloads", step, store_url, store_url, folder, mark, run_id)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["test", *sys.path])}
    process = await asyncio.create_subprocess_exec(sys.executable, *command, env=environment)
    assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == -9
    end_consumers(store_url)


async def kept(store_url: str, folder: str, run_id: str) -> int:
    """How many payloads there are of a run."""
    if folder:
        return len(files_of(folder, run_id))
    client = open_client(store_url, None)
    try:
        return int(await client.call("HLEN", f"mousetrap:payloads:{run_id}"))
    finally:
        await client.close()


def files_of(folder: str, run_id: str) -> list[Path]:
    return list(Path(folder, HOME, run_id).glob("*"))


async def sweep(store: RunStore) -> None:
    """One round, for which everything is old."""
    await store.payloads.sweep(store.known, -60.0)


@asynccontextmanager
async def working(store_url: str, folder: str, mark: str) -> AsyncIterator[None]:
    stop = Stop()
    async with opened(store_url, store_url, folder, mark) as (queue, store):
        task = asyncio.create_task(work(queue, store, mark, stop))
        try:
            yield
        finally:
            stop.ask()
            await asyncio.wait_for(task, TIMEOUT_S)


async def result_of(store: RunStore, run_id: str) -> object:
    async with asyncio.timeout(TIMEOUT_S):
        async for _ in store.watch(run_id):
            pass
    run = await store.get(run_id)
    assert run is not None
    assert run.state == RunState.COMPLETED
    return run.result
