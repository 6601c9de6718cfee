"""Jobs of higher priorities go first, and what follows keeps theirs."""

import asyncio

import pytest

from mousetrap.handlers import Context
from mousetrap.jobs import DEFAULT_PRIORITY, HIGHEST_PRIORITY, LOWEST_PRIORITY
from mousetrap.run_store import Terms
from mousetrap.shapes import RunState
from mousetrap.submit_run import Submission, SubmitOptions
from mousetrap.worker import WorkerStats
from support.inbox import eventually
from support.workbench import Workbench, add, double

pytestmark = pytest.mark.own_queues

LOW, HIGH = 1_000, 50


async def submit(bench: Workbench, priority: int, *numbers: int) -> list[str]:
    """Starts runs with these inputs; their ids."""
    options = SubmitOptions(priority=priority)
    accepted = await bench.submitter.submit_many(
        [
            Submission(bench.pipeline, b"%d" % number, f"run-{number}-{bench.pipeline.name}", options)
            for number in numbers
        ]
    )
    assert not any(isinstance(each, Exception) for each in accepted)
    return [each.run_id for each in accepted if not isinstance(each, Exception)]


async def test_of_1_000_low_and_50_high_jobs_behind_one_slow_worker_the_high_ones_go_first(
    bench: Workbench,
) -> None:
    begun: list[int] = []
    high_are_there, done, stats = asyncio.Event(), asyncio.Event(), WorkerStats()

    async def slow(number: int) -> int:
        begun.append(number)
        await high_are_there.wait()
        if len(begun) == LOW + HIGH:
            done.set()
        return number

    await submit(bench, LOWEST_PRIORITY, *range(LOW))

    async def held() -> int:
        return sum(stats.prefetched().values())

    async with bench.working(bench.bind("add", slow), stats=stats, concurrency=1, prefetch=HIGH):
        await eventually(held, HIGH - 1)  # one runs, and these have arrived before any high one
        await submit(bench, HIGHEST_PRIORITY, *range(LOW, LOW + HIGH))
        await eventually(held, HIGH - 1 + HIGH)
        high_are_there.set()
        await asyncio.wait_for(done.wait(), 120)

    # The one that had begun is not interrupted.
    assert sorted(begun[1 : 1 + HIGH]) == [*range(LOW, LOW + HIGH)]
    assert sorted(begun) == [*range(LOW + HIGH)]


@pytest.mark.parametrize("priority", [LOWEST_PRIORITY, DEFAULT_PRIORITY, HIGHEST_PRIORITY])
async def test_later_stages_and_attempts_keep_the_priority(bench: Workbench, priority: int) -> None:
    def flaky(number: int, context: Context[None]) -> int:
        if context.attempt == 1:
            raise ConnectionError("not yet")
        return number

    async with bench.working(bench.bind("add", flaky)):
        (run_id,) = await submit(bench, priority, 1)
        await bench.until(run_id, "retrying")
        following = await bench.next_of(bench.queue_of("double"))
        assert following.message.priority == priority
        following.hand_back()
    async with bench.working(bench.bind("double", double)):
        run = await bench.ended(run_id)

    assert (run.state, run.result, run.priority) == (RunState.COMPLETED, 2, priority)


async def test_a_redriven_job_and_a_repeated_run_keep_it(bench: Workbench) -> None:
    def fail(number: int) -> int:
        raise ZeroDivisionError(number)

    async with bench.working(bench.bind("add", fail)):
        (run_id,) = await submit(bench, 7, 1)
        run = await bench.ended(run_id)
    letter = await bench.dead_letter("add")
    assert letter.priority == DEFAULT_PRIORITY  # dead letters are in one order
    again = await bench.submitter.rerun(run, run_id=f"again-{run_id}")

    async with bench.working(bench.bind("add", add), bench.bind("double", double)):
        repeated = await bench.ended(again.run_id)
    assert (run.priority, repeated.priority, repeated.result) == (7, 7, 4)


async def test_a_run_that_its_submitter_left_behind_is_published_with_it(bench: Workbench) -> None:
    await bench.store.open_run(
        f"left-{bench.pipeline.name}", bench.pipeline.name, "add", b"1", terms=Terms(priority=8)
    )
    assert await bench.submitter.republish(age=0) >= 1
    delivery = await bench.next_of(bench.queue_of("add"))
    assert (delivery.message.priority, delivery.queue) == (8, bench.queue_of("add"))
    delivery.acknowledge()
