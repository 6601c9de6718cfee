"""Runs with children are repaired, cancelled and limited in a world."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from mousetrap.handlers import Binding
from mousetrap.pipeline import All, Each, Gathered, Many, Pipeline, Stage
from mousetrap.retry import RetryPolicy
from mousetrap.testing import World

ONCE = RetryPolicy(attempts=1)


def stage(name: str, takes: Any, gives: Any, after: Any = None, **more: Any) -> Stage:
    return Stage(
        **{
            "name": name,
            "queue": name,
            "input": takes,
            "output": gives,
            "after": after,
            "retry": ONCE,
            **more,
        }
    )


def bound(stages: Sequence[Stage], *handlers: Callable[..., Any]) -> list[Binding]:
    pipeline = Pipeline(name="papers", description="Reads papers.", stages=tuple(stages))
    return [
        Binding(pipeline=pipeline, stage=each, handler=handler)
        for each, handler in zip(stages, handlers, strict=True)
    ]


async def find(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def total(numbers: Gathered[int]) -> list[int]:
    return [numbers.done, numbers.lost, sum([value async for _, value in numbers])]


def a_fan(
    read: Callable[..., Any], *, find: Callable[..., Any] = find, need: float = 1.0, **of_find: Any
) -> list[Binding]:
    """find -> read each -> sum."""
    stages = (
        stage("find", int, Many[int], **of_find),
        stage("read", int, int, Each("find")),
        stage("sum", Gathered[int], list[int], All("read", need=need)),
    )
    return bound(stages, find, read, total)


async def test_children_may_take_longer_than_their_opener_waits_for_an_outage(world: World) -> None:
    async def read(number: int) -> int:
        await asyncio.sleep(120)
        return number

    world.serve(*a_fan(read, retry=RetryPolicy(outage_limit=5.0)))
    run = await world.submit("papers", 3)
    await world.settle()

    assert (run.state, run.result) == ("completed", [3, 0, 3])
