"""Tests that a real worker does tasks and chains."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, Field

from mousetrap.handlers import Chain, Context, Tasks, chain, task
from mousetrap.pipeline import ContractBroken, Pipeline
from mousetrap.retry import RetryPolicy
from support.isolated_tasks import add
from support.workbench import Workbench, workbench_for

Opened = Callable[[Pipeline], AbstractAsyncContextManager[Workbench]]


@pytest.fixture
def opened(queue_url: str, store_url: str) -> Opened:
    """Opens a bench for a pipeline, on either queue in turn."""
    return partial(workbench_for, queue_url=queue_url, store_url=store_url)


class Page(msgspec.Struct):
    """A contract between tasks."""

    text: str


class Order(BaseModel):
    """A contract of pydantic."""

    article: str
    count: int = Field(gt=0)


@asynccontextmanager
async def open_marks() -> AsyncIterator[str]:
    yield "!"


app = Tasks(lifespan=open_marks)


@app.task(queue="pages", retry=RetryPolicy(attempts=2, base=0.001, cap=0.001))
async def fetch(text: str, context: Context[str]) -> Page:
    """Fetches a page at its second attempt."""
    if context.attempt == 1:
        raise ConnectionError("away")
    return Page(text + context.deps)


@task(queue="words")
def count(page: Page, least: int = 1) -> dict[str, int]:
    words = page.text.split()
    return {word: words.count(word) for word in words if words.count(word) >= least}


@task
async def double(orders: list[Order]) -> list[Order]:
    return [order.model_copy(update={"count": order.count * 2}) for order in orders]


@task
def tick() -> str:
    return "done"


wordcount = chain("wordcount", fetch, count)


async def result(bench: Workbench, body: bytes) -> Any:
    """What a new run of the bench's pipeline gives."""
    run = await bench.ended(await bench.submit(body))
    assert run.state == "completed", run
    return run.result


async def test_a_chain_of_tasks_runs_over_its_queues_and_tries_again(opened: Opened) -> None:
    async with opened(wordcount.pipeline) as bench, bench.working(*wordcount.bindings):
        assert await result(bench, b'"a b a"') == {"a": 1, "b": 1, "a!": 1}


async def test_a_task_in_a_chain_and_alone_serves_both_from_one_queue(opened: Opened) -> None:
    bindings = (*wordcount.bindings, count.binding, fetch.binding)
    async with opened(wordcount.pipeline) as bench, bench.working(*bindings):
        alone = replace(bench, pipeline=count.pipeline)
        first = replace(bench, pipeline=fetch.pipeline)

        results = await asyncio.gather(
            result(bench, b'"a b"'),
            result(alone, b'{"page": {"text": "a b a"}, "least": 2}'),
            result(first, b'"a"'),
        )

    assert list(results) == [{"a": 1, "b!": 1}, {"a": 2}, {"text": "a!"}]


async def test_contracts_of_pydantic_hold_from_end_to_end(opened: Opened) -> None:
    async with opened(double.pipeline) as bench, bench.working(double.binding):
        assert await result(bench, b'[{"article": "a", "count": 2}]') == [{"article": "a", "count": 4}]
        with pytest.raises(ContractBroken, match=r"greater than 0 \(at \$\[0\].count\)"):
            await bench.submit(b'[{"article": "a", "count": 0}]')


async def test_several_parameters_are_given_by_name_even_to_another_process(opened: Opened) -> None:
    async with opened(add.pipeline) as bench, bench.working(add.binding):
        assert await result(bench, b'{"a": 1}') == 121
        assert await result(bench, b'{"b": 3, "a": 1}') == 131
        with pytest.raises(ContractBroken, match="unknown field `c`"):
            await bench.submit(b'{"a": 1, "c": 3}')


async def test_a_task_that_takes_nothing_needs_no_input(opened: Opened) -> None:
    async with opened(tick.pipeline) as bench, bench.working(tick.binding):
        assert await result(bench, b"") == "done"


async def test_a_chain_of_one_task_is_that_task(opened: Opened) -> None:
    alone: Chain[..., list[Order]] = chain("alone", double)
    async with opened(alone.pipeline) as bench, bench.working(*alone.bindings):
        assert await result(bench, b"[]") == []
