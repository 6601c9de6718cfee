"""Tasks are surrounded together, and a generator can be one."""

from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from mousetrap.handlers import (
    Binding,
    Context,
    Next,
    Result,
    TaskRefused,
    Tasks,
    bound,
    chain,
    task,
)
from mousetrap.jobs import Done, first_job
from support.handler_host import HandlerBench

NOTES: list[str] = []


@asynccontextmanager
async def text() -> AsyncIterator[str]:
    yield "opened"


@asynccontextmanager
async def around(context: Context[str]) -> AsyncIterator[None]:
    NOTES.append(f"around {context.stage} {context.deps}")
    yield


def noting(name: str) -> Any:
    async def middleware(context: Context[Any], payload: Any, call_next: Next) -> Any:
        NOTES.append(name)
        return await call_next(payload)

    return middleware


async def note_error(context: Context[str], error: BaseException, outcome: Any) -> None:
    NOTES.append(f"{error!r} of {context.stage}")


app = Tasks(text, around=around, middleware=[noting("outer")], on_error=note_error)


@app.task
async def plus(n: int, context: Context[str]) -> int:
    return n + 1


@app.task(queue="fails")
def fails(n: int) -> int:
    raise KeyError(n)


@task
def pages(n: int) -> Generator[str, None, list[int]]:
    yield "one"
    return [n]


@task
async def pages_later(n: int, more: int = 1) -> AsyncIterator[str | Result[list[int]]]:
    yield "one"
    yield Result([n, more])


@task
def names(a: int, b: int) -> Generator[int, None, int]:
    yield a
    return b


@task(queue="length")
def length(numbers: list[int]) -> int:
    return len(numbers)


@pytest.fixture
def handlers() -> Iterator[HandlerBench]:
    NOTES.clear()
    with ThreadPoolExecutor(2) as threads:
        yield HandlerBench(threads)


async def outcome_of(handlers: HandlerBench, binding: Binding, value: Any) -> Any:
    job = first_job(
        run_id="r",
        pipeline=binding.pipeline.name,
        stage=binding.stage_name,
        payload=msgspec.json.encode(value),
        accepted_ms=1,
    )
    outcome = await bound(binding, "opened", handlers.host).run(job, fence=7)
    return msgspec.json.decode(outcome.output) if isinstance(outcome, Done) else outcome


async def test_tasks_share_what_surrounds_them(handlers: HandlerBench) -> None:
    assert await outcome_of(handlers, plus.binding, 1) == 2
    assert NOTES == ["around plus opened", "outer"]
    NOTES.clear()

    outcome = await outcome_of(handlers, fails.binding, 1)

    assert outcome.failure.kind == "KeyError"
    assert NOTES == ["around fails opened", "outer", "KeyError(1) of fails"]


@pytest.mark.parametrize(
    ("binding", "value", "output", "values"),
    [
        (pages.binding, 1, [1], ["one"]),
        (pages_later.binding, {"n": 1}, [1, 1], ["one"]),
        (names.binding, {"a": 1, "b": 2}, 2, [1]),
    ],
)
async def test_a_generator_is_a_task_whose_output_is_its_contract(
    handlers: HandlerBench, binding: Binding, value: Any, output: Any, values: list[Any]
) -> None:
    assert await outcome_of(handlers, binding, value) == output
    assert handlers.values == values


def test_the_output_of_a_generator_is_what_the_next_task_of_a_chain_takes() -> None:
    joined = chain("pages_length", pages, length)

    assert [stage.output for stage in joined.pipeline.stages] == [list[int], int]
    assert (pages_later.stage.output, names.stage.output) == (list[int], int)
    assert list(pages(1)) == ["one"]


def test_a_generator_whose_annotation_has_no_values_is_refused_with_the_place() -> None:
    def wrong(n: int) -> list[int]:  # type: ignore[misc]
        yield n

    with pytest.raises(
        TaskRefused, match=r"test_surrounded_tasks.py:\d+: task 'wrong': it yields values, .* write Generator"
    ):
        task(wrong)
