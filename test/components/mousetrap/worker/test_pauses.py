"""A paused queue keeps its jobs; others of its worker go on."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from mousetrap.handlers import Context
from mousetrap.jobs import Queue
from mousetrap.shapes import RunState
from mousetrap.worker import Pauses, WorkerStats
from mousetrap.worker.subscriptions import Subscriptions
from mousetrap.worker.turns import Turns
from support.inbox import eventually
from support.workbench import Workbench, a_pipeline, add, double, workbench_for

pytestmark = pytest.mark.own_queues
RUNS = 200


async def true(question: Callable[[], object]) -> None:
    """Returns once the answer is yes."""

    async def answer() -> bool:
        return bool(question())

    await eventually(answer, True)


async def test_a_pause_during_200_runs_and_a_resume_complete_all_of_them(bench: Workbench) -> None:
    attempts = list[int]()
    pauses, stats = Pauses(), WorkerStats()
    held = bench.queue_of("double")

    def doubled(number: int, context: Context[None]) -> int:
        attempts.append(context.attempt)
        if len(attempts) == 20:
            pauses.set([held])
        return 2 * number

    async with bench.working(
        bench.bind("add", add), bench.bind("double", doubled), stats=stats, pauses=pauses
    ):
        runs = [await bench.submit(b"%d" % number) for number in range(RUNS)]
        await true(lambda: held in stats.paused)
        # All that was begun has ended, the other stage has done its part, and what had been taken is back.
        await true(lambda: stats.done == RUNS + len(attempts) and not stats.running())
        begun = len(attempts)
        await eventually(lambda: bench.queue.count_ready(held), RUNS - begun)
        assert begun < RUNS

        pauses.set([])
        ended = [await bench.ended(run) for run in runs]

    assert [run.result for run in ended] == [2 * (number + 1) for number in range(RUNS)]
    assert attempts == [1] * RUNS


async def test_messages_that_had_been_taken_go_back_in_their_order_and_count_no_attempt(
    bench: Workbench,
) -> None:
    release, seen = asyncio.Event(), list[tuple[int, int]]()
    pauses, stats = Pauses(), WorkerStats()

    async def wait(number: int, context: Context[None]) -> int:
        seen.append((number, context.attempt))
        await release.wait()
        return number

    async with bench.working(bench.bind("add", wait), stats=stats, pauses=pauses, concurrency=1, prefetch=20):
        for number in range(10):
            await bench.submit(b"%d" % number)
        await true(lambda: len(seen) == 1)
        await eventually(lambda: bench.queue.count_ready(bench.queue_of("add")), 0)

        pauses.set([bench.queue_of("add")])
        await eventually(lambda: bench.queue.count_ready(bench.queue_of("add")), 9)
        assert [each.stage for each in stats.running()] == ["add"]
        release.set()
        await true(lambda: stats.done == 1)
        assert len(seen) == 1

        pauses.set([])
        await true(lambda: stats.done == 10)

    assert seen == [(number, 1) for number in range(10)]


async def test_a_worker_that_does_not_know_yet_what_is_paused_takes_nothing(bench: Workbench) -> None:
    pauses, stats = Pauses(known=False), WorkerStats()
    run = await bench.submit()
    async with bench.working(
        bench.bind("add", add), bench.bind("double", double), stats=stats, pauses=pauses
    ):
        await true(lambda: stats.queues)
        assert (stats.state, await bench.queue.count_ready(bench.queue_of("add"))) == ("starting", 1)

        pauses.set([bench.queue_of("add")])
        await true(lambda: stats.state == "serving")
        assert stats.paused == (bench.queue_of("add"),)
        assert await bench.queue.count_ready(bench.queue_of("add")) == 1

        pauses.set([])
        assert (await bench.ended(run)).state == RunState.COMPLETED


class Notes:
    """A queue, or a subscription of it, that notes the state of the worker when it begins to take."""

    def __init__(self, stats: WorkerStats) -> None:
        self._stats = stats
        self.noted: list[tuple[str, tuple[str, ...]]] = []

    async def consume(self, name: str, prefetch: int, receive: object) -> "Notes":
        self.noted.append((self._stats.state, self._stats.paused))
        return self


async def test_the_state_of_a_worker_is_serving_before_it_takes_a_message() -> None:
    stats, pauses = WorkerStats(), Pauses()
    pauses.set(["b"])
    queue = Notes(stats)
    turns = cast(Turns, SimpleNamespace(receive=None))

    await Subscriptions(cast(Queue, queue), ["a", "b"], 1, turns, pauses).bring(stats)

    assert queue.noted == [("serving", ("b",))]
    assert (stats.state, stats.paused, stats.changed.is_set()) == ("serving", ("b",), True)


async def test_a_worker_that_knows_nothing_of_pauses_ends_when_it_is_asked_to(bench: Workbench) -> None:
    async with bench.working(bench.bind("add", add), pauses=Pauses(known=False)) as worker:
        worker.stop.ask()
        assert await worker.task


async def test_a_paused_stage_is_not_gone_on_with_in_place(queue_url: str, store_url: str) -> None:
    pauses, stats = Pauses(), WorkerStats()
    pipeline = replace(a_pipeline(), in_place=True)
    async with workbench_for(pipeline, queue_url, store_url) as bench:
        pauses.set([bench.queue_of("double")])
        async with bench.working(
            bench.bind("add", add), bench.bind("double", double), stats=stats, pauses=pauses
        ):
            run = await bench.submit(b"20")
            await eventually(lambda: bench.queue.count_ready(bench.queue_of("double")), 1)
            await true(lambda: stats.done == 1)  # published beside its record: the message can be there first

            pauses.set([])
            assert (await bench.ended(run)).result == 42


async def test_a_worker_that_is_to_take_nothing_finishes_what_runs_and_stays(bench: Workbench) -> None:
    release = asyncio.Event()
    pauses, stats = Pauses(), WorkerStats()

    async def wait(number: int) -> int:
        await release.wait()
        return number

    async with bench.working(bench.bind("add", wait), stats=stats, pauses=pauses, concurrency=1) as worker:
        await bench.submit()
        await bench.submit()
        await true(lambda: len(stats.running()) == 1)
        pauses.set([], everything=True)
        await true(lambda: stats.state == "draining")
        release.set()
        await true(lambda: not stats.running())
        await eventually(lambda: bench.queue.count_ready(bench.queue_of("add")), 1)
        assert stats.done == 1
        assert not worker.task.done()

        pauses.set([])
        await true(lambda: stats.done == 2)
        assert stats.state == "serving"
