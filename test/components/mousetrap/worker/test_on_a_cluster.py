"""Tests workers whose store is a cluster."""

import asyncio

import pytest

from mousetrap.jobs import StoreUnreachable
from mousetrap.run_store import StoredRun
from mousetrap.run_store.keys import packed_run_key
from mousetrap.shapes import RunState
from mousetrap.submit_run import SubmitOptions
from support.valkey_cluster import ValkeyCluster
from support.workbench import Workbench, workbench


@pytest.fixture(autouse=True)
def new_runs_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mousetrap.jobs.job.NEW_RUNS", 5)


async def ended(bench: Workbench, run_id: str) -> StoredRun:
    """The run, once it has ended: a look in vain has the client learn who took over."""
    while True:
        try:
            return await bench.ended(run_id)
        except StoreUnreachable:
            await asyncio.sleep(0.01)


async def test_a_run_with_a_delay_begins_no_earlier(store_url: str, valkey_cluster: ValkeyCluster) -> None:
    async with workbench(store_url, valkey_cluster.url) as bench:
        options = SubmitOptions(delay_s=0.5)
        await bench.submitter.submit(bench.pipeline, b"1", run_id="r1", options=options)
        bindings = [
            bench.bind("add", lambda number: number + 1),
            bench.bind("double", lambda number: number * 2),
        ]
        async with bench.working(*bindings):
            run = await bench.ended("r1")

    (started, *_) = [event.at_ms for event in run.timeline if event.kind == "started"]
    assert run.result == 4
    assert run.due_ms is not None
    assert started >= run.due_ms == run.accepted_ms + 500


async def test_runs_go_through_their_stages_while_a_primary_is_replaced(
    store_url: str, valkey_cluster: ValkeyCluster
) -> None:
    """The queue is a single server's."""
    async with workbench(store_url, valkey_cluster.url) as bench:
        bindings = [
            bench.bind("add", lambda number: number + 1),
            bench.bind("double", lambda number: number * 2),
        ]
        async with bench.working(*bindings):
            first = await bench.submit(b"1")
            assert (await bench.ended(first)).result == 4

            primary = valkey_cluster.primary_of(packed_run_key(first))
            run_ids = [await bench.submit(b"2") for _ in range(20)]
            await asyncio.to_thread(valkey_cluster.replica_of, primary)
            await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(valkey_cluster.promote_replica_of, primary)

            runs = [await ended(bench, run_id) for run_id in run_ids]
            assert [run.state for run in runs] == [RunState.COMPLETED] * len(runs)
