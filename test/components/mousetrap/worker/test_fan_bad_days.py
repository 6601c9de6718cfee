"""Tests bad days of fan-outs, each with the end that it has."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from itertools import count
from typing import Any

import pytest

from mousetrap.dead_letters import DeadLetters, Selection
from mousetrap.handlers import Binding, Context
from mousetrap.job_queue import QueueOptions
from mousetrap.payloads import PayloadOptions
from mousetrap.pipeline import All, Each, Gathered, Keyed, Many, Pipeline
from mousetrap.shapes import RunState
from mousetrap.testing import World
from support.papers import TWICE, own_papers, stage
from support.workbench import KEYRING, TIMEOUT_S, Workbench, workbench_for

pytestmark = [pytest.mark.own_queues, pytest.mark.slow]

#: As many items as came before the handler raised, on a bad day.
SEVEN_THOUSAND = 7_000


def a_fan(need: float = 1.0) -> Pipeline:
    """find -> read each -> sum."""
    return own_papers(
        stage("find", int, Many[int], retry=TWICE),
        stage("read", int, str, Each("find"), TWICE),
        stage("sum", Gathered[str], list[int], All("read", need=need), TWICE),
    )


class Handlers:
    """Count what they do; `find` is the one of a bad day."""

    def __init__(self, find: Callable[..., Any], size: int = 1, awaited: int = 0) -> None:
        self.find = find
        #: Set once so many children are done.
        self.all_are_done, self._awaited = asyncio.Event(), awaited
        self.done = Counter[int]()
        self.joined = 0
        self._size = size

    async def read(self, number: int) -> str:
        self.done[number] += 1
        if len(self.done) == self._awaited:
            self.all_are_done.set()
        return str(number) if number else "0" * self._size

    async def sum(self, texts: Gathered[str]) -> list[int]:
        self.joined += 1
        return [texts.total, texts.lost, sum([int(text) async for _, text in texts])]

    def bound(self, bench: Workbench, *stages: str) -> list[Binding]:
        return [bench.bind(name, getattr(self, name)) for name in stages or ("find", "read", "sum")]


async def in_order(number: int) -> AsyncIterator[int]:
    for each in range(number):
        yield each


async def test_items_in_another_order_after_a_crash_are_each_one_child_by_their_keys(
    queue_url: str, store_url: str
) -> None:
    async def find(number: int, context: Context[None]) -> AsyncIterator[Keyed[int]]:
        items = range(number) if context.attempt == 1 else reversed(range(number))
        for place, each in enumerate(items):
            if (context.attempt, place) == (1, 700):
                raise ConnectionError("lost")
            yield Keyed(str(each), each)

    handlers = Handlers(find)
    async with workbench_for(a_fan(), queue_url, store_url) as bench, bench.working(*handlers.bound(bench)):
        run = await bench.ended(await bench.submit(b"800"))

    assert run.result == [800, 0, sum(range(800))]
    assert (len(handlers.done), set(handlers.done.values()), handlers.joined) == (800, {1}, 1)


async def test_items_in_another_order_after_a_crash_end_without_keys_too_though_some_are_not_done(
    queue_url: str, store_url: str
) -> None:
    """An index is a child then, whatever its item: none is done twice, and what had another index in the first attempt is missed."""

    async def find(number: int, context: Context[None]) -> AsyncIterator[int]:
        items = range(number) if context.attempt == 1 else reversed(range(number))
        for place, each in enumerate(items):
            if (context.attempt, place) == (1, 700):
                raise ConnectionError("lost")
            yield each

    handlers = Handlers(find)
    async with workbench_for(a_fan(), queue_url, store_url) as bench, bench.working(*handlers.bound(bench)):
        run = await bench.ended(await bench.submit(b"800"))

    assert run.state is RunState.COMPLETED
    assert (run.result[:2], handlers.joined) == ([800, 0], 1)
    assert sum(handlers.done.values()) == 800
    assert len(handlers.done) < 800


async def test_a_generator_that_raises_after_thousands_of_items_is_repaired_by_its_redrive(
    queue_url: str, store_url: str
) -> None:
    """Its children go on meanwhile, and none of them is done again."""
    repaired = False

    async def find(number: int) -> AsyncIterator[int]:
        for each in range(number):
            if each == SEVEN_THOUSAND and not repaired:
                raise ConnectionError("lost")
            yield each

    handlers = Handlers(find)
    async with workbench_for(a_fan(), queue_url, store_url) as bench:
        run_id = await bench.submit(b"7100")
        async with bench.working(*handlers.bound(bench), concurrency=50, prefetch=200):
            failed = await bench.ended(run_id)
            letters = DeadLetters(bench.queue, bench.store, KEYRING, {bench.pipeline.name: bench.pipeline})
            repaired = True
            async with asyncio.timeout(TIMEOUT_S):
                while not (await letters.redrive(Selection(), rate=1_000.0, limit=1)).done:
                    pass
            run = await bench.ended(run_id)

    assert failed.state is RunState.FAILED
    assert run.result == [7_100, 0, sum(range(7_100))]
    assert (len(handlers.done), set(handlers.done.values()), handlers.joined) == (7_100, {1}, 1)


async def test_a_generator_that_never_ends_is_a_dead_letter_and_what_it_gave_is_done(
    queue_url: str, store_url: str
) -> None:
    async def find(number: int) -> AsyncIterator[int]:
        for each in count(number):
            yield each

    handlers = Handlers(find, awaited=1_000)
    async with workbench_for(a_fan(), queue_url, store_url) as bench:
        run_id = await bench.submit(b"1")
        async with bench.working(*handlers.bound(bench), fan_most=1_000):
            run = await bench.ended(run_id)
            letter = await bench.dead_letter("find")
            await asyncio.wait_for(handlers.all_are_done.wait(), TIMEOUT_S)

    assert run.state is RunState.FAILED
    assert letter.headers["mousetrap-reason"] == "fan-too-wide"
    assert (len(handlers.done), set(handlers.done.values()), handlers.joined) == (1_000, {1}, 0)


async def test_an_output_of_a_child_that_is_too_large_is_a_lost_child(queue_url: str, store_url: str) -> None:
    handlers = Handlers(in_order, size=2_000)
    small = PayloadOptions(inline=500, largest=1_000)
    async with (
        workbench_for(a_fan(0.5), queue_url, store_url, payloads=small) as bench,
        bench.working(*handlers.bound(bench)),
    ):
        run = await bench.ended(await bench.submit(b"5"))
        letter = await bench.dead_letter("read")

    assert (run.state, run.result) == (RunState.COMPLETED, [5, 1, 10])
    assert letter.headers["mousetrap-reason"] == "too-large"


async def test_a_fan_out_far_wider_than_its_queue_waits_for_room(queue_url: str, store_url: str) -> None:
    """Scaled: fifteen times what the queue takes. A million against ten thousand, with figures, is in docs/decisions/0070."""
    handlers, limit = Handlers(in_order), 200
    options = QueueOptions(max_length=limit)
    async with (
        workbench_for(a_fan(), queue_url, store_url, options) as bench,
        bench.working(*handlers.bound(bench)),
    ):
        run = await bench.ended(await bench.submit(b"%d" % (15 * limit)))

    assert run.result == [15 * limit, 0, sum(range(15 * limit))]
    assert (len(handlers.done), set(handlers.done.values()), handlers.joined) == (15 * limit, {1}, 1)


def test_a_join_without_a_worker_for_an_hour_is_done_when_one_comes() -> None:
    handlers = Handlers(in_order)
    pipeline = a_fan()
    find, read, total = (
        Binding(pipeline=pipeline, stage=stage, handler=getattr(handlers, stage.name))
        for stage in pipeline.stages
    )

    with closing(World()) as world:

        async def an_hour() -> Any:
            world.serve(find, read)
            run = await world.submit(pipeline.name, 30)
            await world.advance(hours=1)
            waiting = run.state, len(handlers.done), handlers.joined
            world.serve(total)
            await world.settle()
            return waiting, run.state, run.result

        waiting, state, found = world.drive(an_hour(), real_limit_s=150)

    assert waiting == (RunState.RUNNING, 30, 0)
    assert (state, found, handlers.joined) == (RunState.COMPLETED, [30, 0, sum(range(30))], 1)
