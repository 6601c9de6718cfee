"""Runs with children are repaired, cancelled and limited in a world."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from mousetrap.handlers import Binding
from mousetrap.pipeline import All, Each, Gathered, Keyed, Many, Pipeline, Stage
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


async def test_an_opener_that_is_redriven_leaves_the_children_that_were_given_up_to_their_letters(
    world: World,
) -> None:
    broken = [True]

    async def fails_late(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number
        if broken[0]:
            raise ConnectionError

    async def read(number: int) -> int:
        return number // (number != 3 or not broken[0])

    world.serve(*a_fan(read, find=fails_late, need=0.5))
    run = await world.submit("papers", 1200)
    await world.settle()
    assert {(letter.stage, letter.generation) for letter in world.dead()} == {("find", 0), ("read", 0)}
    await world.redrive(queue="find")
    await world.settle()

    assert [(letter.stage, letter.generation) for letter in world.dead()] == [("find", 1), ("read", 0)]
    broken[0] = False
    await world.redrive(queue="find")
    await world.settle()

    assert (run.state, run.result) == ("completed", [1199, 1, sum(range(1200)) - 3])
    assert [letter.stage for letter in world.dead()] == ["read"]


@pytest.mark.parametrize("keyed_first", [True, False])
async def test_attempts_with_keys_and_without_them_are_no_attempts_of_one_job(
    world: World, keyed_first: bool
) -> None:
    attempts, read_items = [0], list[int]()

    async def changes(count: int) -> AsyncIterator[Any]:
        attempts[0] += 1
        for number in range(count):
            yield Keyed(f"n{number}", number) if keyed_first is (attempts[0] == 1) else number
        if attempts[0] == 1:
            raise ConnectionError

    async def read(number: int) -> int:
        read_items.append(number)
        return number

    world.serve(*a_fan(read, find=changes, retry=RetryPolicy(attempts=3)))
    run = await world.submit("papers", 1000)
    await world.settle()

    assert run.state == "failed"
    assert [letter.reason for letter in world.dead()] == ["fan-changed"]
    assert len(read_items) == len(set(read_items))
