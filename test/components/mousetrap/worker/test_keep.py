"""The outputs of a fan-out are kept for its join, or not."""

from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from mousetrap.payloads import PayloadOptions
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline
from mousetrap.run_store import StoredRun
from mousetrap.run_store.keys import packed_job_key
from mousetrap.shapes import RunState
from support.papers import find, own_papers, stage
from support.workbench import Workbench, on_streams, workbench_for

pytestmark = pytest.mark.own_queues


async def fetch(number: int) -> str:
    return "x" * 1_000


async def read(text: str) -> str:
    return text + "y" * 1_000


async def counts(gathered: Gathered[None]) -> list[Any]:
    return [gathered.total, gathered.done, gathered.lost, [each async for each in gathered]]


async def all_of(gathered: Gathered[str]) -> list[str]:
    return [text async for _, text in gathered]


HANDLERS: dict[str, Callable[..., Any]] = {
    "find": find,
    "fetch": fetch,
    "read": read,
    "count": counts,
    "all": all_of,
}


def papers_of(*, keep: bool) -> Pipeline:
    return own_papers(
        stage("find", int, Many[int]),
        stage("fetch", int, str, Each("find")),
        stage("read", str, str),
        stage("all", Gathered[str], list[str], All("read"))
        if keep
        else stage("count", Gathered[None], list[Any], All("read", keep=False)),
    )


async def run_of(bench: Workbench, count: bytes) -> StoredRun:
    bound = [bench.bind(stage.name, HANDLERS[stage.name]) for stage in bench.pipeline.stages]
    async with bench.working(*bound):
        return await bench.ended(await bench.submit(count))


async def test_a_join_that_takes_counts_alone_gets_no_outputs(queue_url: str, store_url: str) -> None:
    async with workbench_for(papers_of(keep=False), queue_url, store_url) as bench:
        run = await run_of(bench, b"3")

    assert (run.state, run.result) == (RunState.COMPLETED, [3, 3, 0, [[0, None], [1, None], [2, None]]])


@on_streams
@pytest.mark.parametrize("keep", [True, False])
async def test_only_what_nothing_takes_is_not_kept(queue_url: str, store_url: str, keep: bool) -> None:
    """A record holds what its own way goes on with, until that has arrived; a repair may need it."""
    async with workbench_for(papers_of(keep=keep), queue_url, store_url) as bench:
        run = await run_of(bench, b"1")
        async with Redis.from_url(store_url.replace("valkey", "redis", 1)) as client:
            keys = [key async for key in client.scan_iter(packed_job_key(run.id, "*"))]
            records = [str(await client.get(key)) for key in keys]

    (first,) = [record for record in records if '"stage":"fetch"' in record]
    (last,) = [record for record in records if '"stage":"read"' in record]
    assert "xxx" in first
    assert ("yyy" in last) is keep


@on_streams
async def test_a_large_output_that_nothing_takes_is_put_nowhere(queue_url: str, store_url: str) -> None:
    sizes = PayloadOptions(inline=1_500)
    async with workbench_for(papers_of(keep=False), queue_url, store_url, payloads=sizes) as bench:
        run = await run_of(bench, b"1")
        async with Redis.from_url(store_url.replace("valkey", "redis", 1)) as client:
            kept = [str(key) async for key in client.scan_iter("*payloads*")]

    assert run.result == [1, 1, 0, [[0, None]]]
    assert not [key for key in kept if run.id in key]
