"""The jobs of a fan-out have a time in a world."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

from mousetrap.handlers import Binding
from mousetrap.pipeline import All, Each, Gathered, Many
from mousetrap.testing import World
from support.papers import bound, find, stage

HOUR = timedelta(hours=1)


async def slow(number: int) -> int:
    """Takes so many times 25 minutes."""
    await asyncio.sleep(25 * 60 * number)
    return number


async def total(numbers: Gathered[int]) -> list[int]:
    return [numbers.total, numbers.done, numbers.lost, sum([value async for _, value in numbers])]


async def count(totals: Gathered[list[int]]) -> list[list[int]]:
    return [value async for _, value in totals]


def a_fan(need: float) -> list[Binding]:
    stages = (
        stage("find", int, Many[int]),
        stage("read", int, int, Each("find")),
        stage("sum", Gathered[int], list[int], All("read", need=need, within=HOUR)),
    )
    return bound(stages, find, slow, total)


async def test_the_join_begins_when_the_time_is_over(world: World) -> None:
    world.serve(*a_fan(0.5))
    run = await world.submit("papers", 5)
    await world.advance(minutes=59)
    before = run.state
    await world.advance(minutes=2)
    after = (run.state, run.result)
    await world.settle()

    assert before == "running"
    assert after == ("completed", [5, 3, 2, 3])
    assert [event.kind for event in run.timeline].count("late") == 2


async def test_too_few_in_time_fail_the_run_and_its_redrive_gives_the_time_again(world: World) -> None:
    world.serve(*a_fan(1.0))
    run = await world.submit("papers", 4)
    await world.advance(minutes=61)
    (letter,) = world.dead()
    failed = run.state
    await world.redrive()
    await world.settle()

    assert (failed, letter.stage, letter.reason) == ("failed", "find", "fan-late")
    # The last one has taken 75 minutes, of two hours.
    assert (run.state, run.result) == ("completed", [4, 4, 0, 6])


async def test_fans_in_a_fan_have_times_of_their_own(world: World) -> None:
    async def inner(number: int) -> AsyncIterator[int]:
        for each in range(number, number + 3):
            yield each

    stages = (
        stage("outer", int, Many[int]),
        stage("inner", int, Many[int], Each("outer")),
        stage("read", int, int, Each("inner")),
        stage("sum", Gathered[int], list[int], All("read", need=0.0, within=HOUR)),
        stage("all", Gathered[list[int]], list[list[int]], All("sum")),
    )
    world.serve(*bound(stages, find, inner, slow, total, count))
    run = await world.submit("papers", 3)
    await world.settle()

    assert (run.state, run.result) == ("completed", [[3, 3, 0, 3], [3, 2, 1, 3], [3, 1, 2, 2]])


async def test_what_is_inside_a_fan_whose_time_is_over_ends_with_it(world: World) -> None:
    """An inner fan-out that had begun: its jobs begin no more, and its opener's message waits for nothing."""
    begun: list[int] = []

    async def inner(number: int) -> AsyncIterator[int]:
        if number:
            yield number
            await asyncio.sleep(30 * 60)
            yield 1000 * number

    async def read(number: int) -> int:
        begun.append(number)
        await asyncio.sleep(50 * 60)
        return number

    stages = (
        stage("outer", int, Many[int]),
        stage("inner", int, Many[int], Each("outer")),
        stage("read", int, int, Each("inner")),
        stage("more", int, int),
        stage("sum", Gathered[int], list[int], All("more")),
        stage("all", Gathered[list[int]], list[list[int]], All("sum", need=0.0, within=HOUR)),
    )
    world.serve(*bound(stages, find, inner, read, begun.append, total, count))
    run = await world.submit("papers", 2)
    await world.advance(minutes=65)
    at_once = (run.state, run.result)
    await world.settle()

    assert at_once == (run.state, run.result) == ("completed", [[0, 0, 0, 0]])
    assert [event.kind for event in run.timeline].count("failed") == 0
    assert world.dead() == []


def read_in_parts(read: Callable[..., Any], inner: Callable[..., Any]) -> list[Binding]:
    """Fans in a fan that needs all; the jobs of each have an hour."""
    stages = (
        stage("outer", int, Many[int]),
        stage("inner", int, Many[int], Each("outer")),
        stage("read", int, int, Each("inner")),
        stage("sum", Gathered[int], list[int], All("read", within=HOUR)),
        stage("all", Gathered[list[int]], list[list[int]], All("sum")),
    )
    return bound(stages, find, inner, read, total, count)


async def test_fans_that_are_late_as_another_one_fails_their_run_have_a_time_once_it_is_repaired(
    world: World,
) -> None:
    """All are late in one turn: the first one fails the run, and the messages of the others stay."""
    given: list[int] = []

    async def twice(number: int) -> AsyncIterator[int]:
        given.append(number)
        for _ in range(2):
            yield number

    async def read(number: int) -> int:
        await asyncio.sleep(60 if given.count(number) > 1 else 3 * 3600)
        return number

    bindings = read_in_parts(read, twice)
    world.serve(*(each for each in bindings if each.stage.name != "read"))
    run = await world.submit("papers", 3)
    await world.advance(minutes=75)
    (letter,) = world.dead()
    await world.redrive()
    world.serve(*bindings)
    await world.advance(minutes=75)

    (other,) = world.dead()
    assert (run.state, other.reason) == ("failed", "fan-late")
    assert other.id != letter.id


async def test_a_run_that_is_repaired_gives_the_time_again_to_all_its_fans(world: World) -> None:
    """Else those beside the one that is redriven would fail the run again at once, one after the other."""

    async def read(number: int) -> int:
        await asyncio.sleep(50 * 60)
        return number

    async def later_and_later(number: int) -> AsyncIterator[int]:
        await asyncio.sleep(5 * 60 * number)
        for _ in range(2):
            yield number

    bindings = read_in_parts(read, later_and_later)
    world.serve(*(each for each in bindings if each.stage.name != "read"))
    run = await world.submit("papers", 4)
    await world.advance(minutes=200)
    assert run.state == "failed"
    world.serve(*bindings)
    await world.redrive()
    await world.settle()

    assert run.state == "completed"
    assert [part[:3] for part in run.result] == [[2, 2, 0]] * 4
    assert world.dead() == []
