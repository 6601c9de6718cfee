"""Runs with children are repaired, cancelled and limited in a world."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from mousetrap.handlers import Binding, Context
from mousetrap.pipeline import All, Each, Gathered, Keyed, Many
from mousetrap.retry import RetryPolicy, TryAgain
from mousetrap.testing import World
from support.papers import ONCE, TWICE, bound, find, stage

DAY_S = 86_400


async def total(numbers: Gathered[int]) -> list[int]:
    return [numbers.done, numbers.lost, sum([value async for _, value in numbers])]


def a_fan(
    read: Callable[..., Any],
    *,
    find: Callable[..., Any] = find,
    need: float = 1.0,
    reads: RetryPolicy = ONCE,
    **of_find: Any,
) -> list[Binding]:
    """find -> read each -> sum."""
    stages = (
        stage("find", int, Many[int], **of_find),
        stage("read", int, int, Each("find"), retry=reads),
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


class Poisoned:
    """Reads for a minute, and fails for one item until it is cured."""

    def __init__(self, item: int) -> None:
        self.item = item
        self.cured = False
        self.read_items: list[int] = []

    async def __call__(self, number: int) -> int:
        if number == self.item and not self.cured:
            raise ValueError
        await asyncio.sleep(60)
        self.read_items.append(number)
        return number


async def test_a_child_of_a_run_that_was_repaired_has_no_time_of_before(world: World) -> None:
    read = Poisoned(0)
    world.serve(*a_fan(read), concurrency=1)
    run = await world.submit("papers", 60, expires_in=1800)
    await world.advance(minutes=10)
    assert run.state == "failed"
    read.cured = True
    await world.redrive()
    await world.settle()

    assert (run.state, run.result) == ("completed", [60, 0, sum(range(60))])
    assert sorted(read.read_items) == list(range(60))


async def test_a_run_that_is_repaired_after_its_time_sends_again_what_was_dropped(world: World) -> None:
    read = Poisoned(0)
    world.serve(*a_fan(read), concurrency=1)
    run = await world.submit("papers", 60, expires_in=1800)
    await world.advance(hours=70)
    assert run.state == "failed"
    assert len(read.read_items) < 40
    read.cured = True
    await world.redrive()
    await world.settle()

    assert (run.state, run.result) == ("completed", [60, 0, sum(range(60))])
    assert sorted(read.read_items) == list(range(60))


def nested(leaf: Callable[..., Any], *, need: float = 1.0, leaves: RetryPolicy = ONCE) -> list[Binding]:
    """outer -> inner each -> leaf each -> gathered by inner, then by outer."""

    async def pages(number: int) -> AsyncIterator[int]:
        for page in range(3):
            yield 10 * number + page

    async def part(numbers: Gathered[int]) -> int:
        return sum([value async for _, value in numbers])

    stages = (
        stage("outer", int, Many[int]),
        stage("inner", int, Many[int], Each("outer")),
        stage("leaf", int, int, Each("inner"), retry=leaves),
        stage("part", Gathered[int], int, All("leaf")),
        stage("whole", Gathered[int], list[int], All("part", need=need)),
    )
    return bound(stages, find, pages, leaf, part, total)


@pytest.mark.parametrize("concurrency", [1, 2, 3])
async def test_fans_in_fans_of_a_run_that_is_repaired_after_its_time_all_send_again(
    world: World, concurrency: int
) -> None:
    leaf = Poisoned(0)
    world.serve(*nested(leaf), concurrency=concurrency)
    run = await world.submit("papers", 5, expires_in=200)
    await world.advance(hours=2)
    assert run.state == "failed"
    leaf.cured = True
    await world.redrive()
    await world.settle()

    leaves = [10 * number + page for number in range(5) for page in range(3)]
    assert (run.state, run.result) == ("completed", [5, 0, sum(leaves)])
    assert sorted(leaf.read_items) == leaves


async def test_an_inner_fan_that_is_repaired_last_sends_again_only_then(world: World) -> None:
    """The run goes on without that one first, and waits for it then."""
    cured = set[int]()
    read_items = list[int]()

    async def leaf(number: int) -> int:
        if number in (0, 10) and number not in cured:
            raise ValueError
        await asyncio.sleep(60)
        read_items.append(number)
        return number

    world.serve(*nested(leaf, need=2), concurrency=2)
    run = await world.submit("papers", 3, expires_in=90)
    await world.advance(hours=2)
    first, last = world.dead()
    assert run.state == "failed"
    cured.update((0, 10))
    await world.redrive(ids=frozenset({first.id}))
    await world.advance(hours=1)
    await world.redrive(ids=frozenset({last.id}))
    await world.settle()

    assert run.state == "completed"
    assert world.dead() == []
    assert len(read_items) == len(set(read_items))


async def test_an_opener_that_waits_for_its_next_attempt_is_kept_over_the_time_of_its_run(
    world: World,
) -> None:
    attempts = [0]

    async def fails_once(count: int) -> AsyncIterator[int]:
        attempts[0] += 1
        for number in range(count):
            yield number
            if number == 600 and attempts[0] == 1:
                raise ConnectionError

    read = Poisoned(0)
    policy = RetryPolicy(attempts=3, base=7200.0, cap=7200.0)
    world.serve(*a_fan(read, find=fails_once, retry=policy), concurrency=1000)
    run = await world.submit("papers", 700, expires_in=30)
    await world.advance(hours=9)
    assert run.state == "failed"
    read.cured = True
    await world.redrive()
    await world.settle()

    assert (run.state, run.result) == ("completed", [700, 0, sum(range(700))])


async def test_a_run_whose_dropped_children_no_message_can_send_again_stays_failed(world: World) -> None:
    read = Poisoned(0)
    world.serve(*a_fan(read), concurrency=1)
    run = await world.submit("papers", 60, expires_in=1800)
    await world.advance(days=6, hours=12)
    read.cured = True
    await world.redrive()
    await world.settle()

    assert run.state == "failed"
    assert read.read_items.count(0) == 1


class Both(msgspec.Struct):
    """What two branches give."""

    left: int
    finish: int


async def same(number: int) -> int:
    return number


def a_fork(split: Callable[..., Any], left: Callable[..., Any], right: Callable[..., Any]) -> list[Binding]:
    async def meet(both: Both) -> int:
        return both.left + both.finish

    stages = (
        stage("split", int, int),
        stage("left", int, int, "split"),
        stage("right", int, int, "split"),
        stage("finish", int, int, "right"),
        stage("meet", Both, int, All("left", "finish")),
    )
    return bound(stages, split, left, right, same, meet)


async def test_a_branch_that_was_dropped_after_the_time_of_its_run_goes_on_once_the_other_is_repaired(
    world: World,
) -> None:
    left, right = Poisoned(1), Poisoned(-1)
    world.serve(*a_fork(same, left, right))
    run = await world.submit("papers", 1, expires_in=30)
    await world.advance(minutes=30)
    assert run.state == "failed"
    left.cured = True
    await world.redrive()
    await world.settle()

    assert (run.state, run.result) == ("completed", 2)
    assert right.read_items == [1]


@pytest.mark.parametrize("at", ["before_publish", "after_publish"])
async def test_a_fork_that_is_granted_again_sends_its_branches_though_its_message_was_an_anchor(
    world: World, at: str
) -> None:
    """Its worker dies once the outcome is recorded, and before all branches are out: what was sent was of the outcome before."""
    left, right = Poisoned(1), Poisoned(-1)
    calls = [0]

    async def split(number: int) -> int:
        calls[0] += 1
        if calls[0] == 2:
            world.kill_worker(at=at)
        return number

    world.serve(*a_fork(split, left, right))
    run = await world.submit("papers", 1, expires_in=30)
    await world.advance(minutes=30)
    assert run.state == "failed"
    left.cured = True
    await world.redrive()
    await world.settle()

    assert calls == [2]
    assert (run.state, run.result) == ("completed", 2)


async def test_what_goes_on_of_a_run_that_has_failed_is_stopped_by_a_cancel(world: World) -> None:
    read = Poisoned(0)
    world.serve(*a_fan(read), concurrency=1)
    run = await world.submit("papers", 60)
    await world.advance(seconds=270)
    assert run.state == "failed"

    assert await run.cancel() == "cancelled"
    done = len(read.read_items)
    await world.settle()

    assert (run.state, len(read.read_items)) == ("cancelled", done)
    redriven = await world.redrive()
    assert (redriven.done, redriven.stale) == (0, 1)
    await world.settle()
    assert run.state == "cancelled"


async def in_so_many_days(days: int, attempt: int) -> None:
    """Has the attempt made again then, the first time."""
    if days and attempt == 1:
        raise TryAgain(after=days * DAY_S)


async def test_a_fan_that_takes_longer_than_the_retention_keeps_its_first_outputs(world: World) -> None:
    async def read(number: int, context: Context[None]) -> int:
        await in_so_many_days(number, context.attempt)
        return number

    world.serve(*a_fan(read, reads=TWICE))
    run = await world.submit("papers", 20)
    await world.settle(within=40 * DAY_S)

    assert (run.state, run.result) == ("completed", [20, 0, sum(range(20))])


async def test_an_inner_fan_that_takes_long_is_no_reason_to_give_the_outer_one_up(world: World) -> None:
    """Nor is one that is broken, and that the outer one can do without: it can be repaired as long as the run goes on."""
    broken = [True]

    async def leaf(number: int, context: Context[None]) -> int:
        if number == 0 and broken[0]:
            raise ZeroDivisionError
        await in_so_many_days(6 * (1 + number % 10) if number > 9 else 0, context.attempt)
        return number

    world.serve(*nested(leaf, need=0.5, leaves=TWICE))
    run = await world.submit("papers", 3)
    await world.advance(days=16)

    assert run.state == "running"
    assert [letter.stage for letter in world.dead()] == ["leaf"]
    broken[0] = False
    await world.redrive()
    await world.settle(within=40 * DAY_S)
    assert (run.state, run.result) == ("completed", [3, 0, 3 + 33 + 63])


async def test_a_run_that_failed_for_a_job_of_its_fan_out_is_settled_at_once(world: World) -> None:
    broken = [True]

    async def read(number: int) -> int:
        return number // (number != 1 or not broken[0])

    world.serve(*a_fan(read, reads=TWICE))
    run = await world.submit("papers", 3)
    await world.settle(within=60)

    assert (run.state, len(world.dead())) == ("failed", 1)
    broken[0] = False
    await world.redrive()
    await world.settle()

    assert run.result == [3, 0, 3]


async def test_attempts_and_jobs_of_a_run_are_those_of_its_fan_out_too(world: World) -> None:
    failed: set[int] = set()

    async def read(number: int) -> int:
        if number not in failed:
            failed.add(number)
            raise ConnectionError
        return number

    world.serve(*a_fan(read, reads=TWICE))
    run = await world.submit("papers", 3)
    await world.settle()

    assert (run.attempts("find"), run.attempts("read"), run.attempts("sum"), run.attempts()) == (1, 6, 1, 8)
    assert [(job.stage, job.index, job.output) for job in run.jobs if job.stage == "read"] == [
        ("read", (0,), 0),
        ("read", (1,), 1),
        ("read", (2,), 2),
    ]
