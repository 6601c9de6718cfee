"""Tests ten thousand children with outputs of a kilobyte."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, cast

import pytest

from mousetrap.handlers import Context
from mousetrap.jobs import Message, Queue, Settled, decode
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline
from mousetrap.run_store import StoredRun
from mousetrap.shapes import RunState
from support.papers import TWICE, own_papers, stage
from support.workbench import Workbench, workbench_for

pytestmark = [pytest.mark.own_queues, pytest.mark.slow]

CHILDREN, WORKERS = 10_000, 2
#: Of each so many children one is delivered twice more, and one is given up.
REPEATED, POISON = 100, 33
_TEXT = "x" * 1_000
#: Seconds, below the test's own.
_TIMEOUT_S, _TEST_TIMEOUT_S = 300, 360


def a_fan() -> Pipeline:
    """find -> read each -> sum, which needs 95 % of them."""
    return own_papers(
        stage("find", int, Many[int], retry=TWICE),
        stage("read", int, str, Each("find"), TWICE),
        stage("sum", Gathered[str], list[int], All("read", need=0.95), TWICE),
    )


class Repeating:
    """A real queue that has some children delivered three times."""

    def __init__(self, inner: Queue) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def post(self, queue: str, message: Message, settled: Settled) -> None:
        job = decode(message.body)
        if job.stage == "read" and int(bytes(job.payload)) % REPEATED == 0:
            for _ in range(2):
                self._inner.post(queue, message, lambda error: None)
        self._inner.post(queue, message, settled)


class Handlers:
    """Count what they do."""

    def __init__(self) -> None:
        self.done = Counter[int]()
        self.joined = 0

    async def find(self, count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    async def read(self, number: int, context: Context[None]) -> str:
        if number % POISON == 0:
            raise ValueError("poison")
        self.done[number] += 1
        return f"{number} {_TEXT}"

    async def sum(self, texts: Gathered[str]) -> list[int]:
        self.joined += 1
        numbers = [(index, int(text.partition(" ")[0])) async for index, text in texts]
        assert all(index == number for index, number in numbers)
        return [texts.total, texts.done, texts.lost, len(numbers), sum(number for _, number in numbers)]


async def finished(bench: Workbench, run_id: str) -> StoredRun:
    async with asyncio.timeout(_TIMEOUT_S):
        async for _ in bench.store.watch(run_id):
            pass
    run = await bench.store.get(run_id)
    assert run is not None
    return run


@pytest.mark.test_timeout(_TEST_TIMEOUT_S)
async def test_ten_thousand_children_are_joined_once(queue_url: str, store_url: str) -> None:
    handlers = Handlers()
    async with workbench_for(a_fan(), queue_url, store_url) as real, AsyncExitStack() as working:
        bench = replace(real, queue=cast(Queue, Repeating(real.queue)))
        for _ in range(WORKERS):
            bound = [bench.bind(name, getattr(handlers, name)) for name in ("find", "read", "sum")]
            await working.enter_async_context(bench.working(*bound, concurrency=50, prefetch=200))
        run = await finished(bench, await bench.submit(b"%d" % CHILDREN))

    lost = [number for number in range(CHILDREN) if number % POISON == 0]
    done = CHILDREN - len(lost)
    assert run.state is RunState.COMPLETED
    assert run.result == [CHILDREN, done, len(lost), done, sum(range(CHILDREN)) - sum(lost)]
    assert (len(handlers.done), set(handlers.done.values()), handlers.joined) == (done, {1}, 1)
