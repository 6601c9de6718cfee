"""Tests limits in a world, whose clock jumps."""

import asyncio
import random
from collections import Counter, defaultdict
from typing import Any

import msgspec
import pytest

from mousetrap.handlers import Binding
from mousetrap.pipeline import AtMost, Pipeline, Rate, Stage
from mousetrap.testing import World

RATE, JOBS, WINDOW_S, WORKERS = 50, 600, 4.0, 3
LARGE, SMALL, KEYS, PLACES, WORK_S = 60, 6, 10, 3, 1.0
#: Of a call to the store, in this world.
CALL_S = 0.002


class Order(msgspec.Struct, frozen=True):
    customer: str = ""
    seconds: float = 0.0


def charging(limit: Any) -> Pipeline:
    stage = Stage(name="charge", queue="charges", input=Order, output=str, limit=limit)
    return Pipeline(name="orders", description="Charges.", stages=(stage,))


@pytest.mark.test_timeout(500)
async def test_a_rate_over_three_workers_holds_within_five_percent_in_each_window(world: World) -> None:
    begun: list[float] = []

    async def charge(order: Order) -> str:
        begun.append(asyncio.get_running_loop().time())
        return ""

    pipeline = charging(Rate(RATE))
    for _ in range(WORKERS):
        world.serve(Binding(pipeline=pipeline, stage="charge", handler=charge))
    for _ in range(JOBS):
        await world.submit(pipeline, Order())
    await world.settle()

    assert len(begun) == JOBS
    last = begun[-1]
    counts = [
        sum(start <= at < start + WINDOW_S for at in begun) for start in begun if start + WINDOW_S <= last
    ]
    wanted = RATE * WINDOW_S
    assert counts and 0.95 * wanted <= min(counts) and max(counts) <= 1.05 * wanted


@pytest.mark.test_timeout(200)
async def test_small_keys_wait_no_longer_for_a_large_one_and_no_place_stays_free(world: World) -> None:
    now: Counter[str] = Counter()
    waits: defaultdict[str, list[float]] = defaultdict(list)
    began = world.time

    async def charge(order: Order) -> str:
        waits[order.customer].append(world.time - began)
        now[order.customer] += 1
        assert now[order.customer] <= PLACES
        await asyncio.sleep(WORK_S)
        now[order.customer] -= 1
        return ""

    pipeline = charging(AtMost(PLACES, per="customer"))
    for _ in range(5):
        world.serve(Binding(pipeline=pipeline, stage="charge", handler=charge))
    for _ in range(LARGE):
        await world.submit(pipeline, Order("large"))
    for number in range(SMALL * KEYS):
        await world.submit(pipeline, Order(f"c{number % KEYS}"))
    await world.settle()

    assert sum(map(len, waits.values())) == LARGE + SMALL * KEYS
    # Three of six begin at once, three a second later: though sixty of the large one came before them.
    assert max(waits[f"c{KEYS - 1}"]) < 2.0 * WORK_S
    # Each three of the large one begin as the last three end.
    assert max(waits["large"]) < (LARGE / PLACES) * WORK_S * 1.1


@pytest.mark.parametrize("after_ms", [44.5, 45.0, 45.5, 46.0])
async def test_a_job_begins_at_once_though_its_line_has_its_message_only_after_the_last_look(
    world: World, after_ms: float
) -> None:
    """The first ends in the other worker, which looks, while the second is on its way to its line: 50 ms after it was submitted."""
    moments: list[float] = []

    async def charge(order: Order) -> str:
        moments.append(world.time)
        await asyncio.sleep(order.seconds)
        moments.append(world.time)
        return ""

    pipeline = charging(AtMost(1))
    for _ in range(2):
        world.serve(Binding(pipeline=pipeline, stage="charge", handler=charge))
    await world.submit(pipeline, Order(seconds=0.05))
    await world.advance(seconds=after_ms / 1000)
    await world.submit(pipeline, Order())
    await world.settle()

    _, first_ended, second_began, _ = moments
    assert second_began - first_ended < 0.1


@pytest.mark.long
@pytest.mark.test_timeout(200)
async def test_between_two_jobs_a_place_is_free_for_a_few_calls_of_the_store(world: World) -> None:
    """While a key has jobs and room. Half of the jobs are of one key: for each that begins, a place meets one over its limit."""
    customers = [f"c{number % 39}" for number in range(78)] + ["large"] * 80
    random.Random(2).shuffle(customers)
    slots, since, free_s, begun = 20, 0.0, 0.0, 0
    left, running = Counter(customers), Counter[str]()

    def changes(customer: str, by: int) -> None:
        nonlocal since, free_s, begun
        # The other keys alone could fill all places.
        if since and any(left[key] and running[key] < PLACES for key in left if key != "large"):
            free_s += (slots - running.total()) * (world.time - since)
            begun += by > 0
        since = world.time
        running[customer] += by
        left[customer] -= by > 0

    async def charge(order: Order) -> str:
        changes(order.customer, +1)
        await asyncio.sleep(0.1)
        changes(order.customer, -1)
        return ""

    pipeline = charging(AtMost(PLACES, per="customer"))
    for customer in customers:
        await world.submit(pipeline, Order(customer))
    for _ in range(5):
        world.serve(Binding(pipeline=pipeline, stage="charge", handler=charge), concurrency=slots // 5)
    await world.settle(within=1_000.0)

    assert begun >= 60
    assert free_s / begun < 8 * CALL_S  # five and a half in this order
