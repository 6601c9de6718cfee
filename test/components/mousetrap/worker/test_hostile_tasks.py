"""A handler that cancels tasks of others costs no runner."""

import asyncio
from typing import Any

from mousetrap.shapes import RunState
from support.workbench import TIMEOUT_S, Workbench, double, on_streams


@on_streams
async def test_a_handler_that_cancels_the_runners_fails_its_attempt_and_they_go_on(bench: Workbench) -> None:
    async def cancel_others(number: int) -> int:
        if number == 1:
            for _ in range(10):  # by then a runner waits for this handler
                await asyncio.sleep(0)
            for task in asyncio.all_tasks():
                if "_Worker._run" in getattr(task.get_coro(), "__qualname__", ""):
                    task.cancel()
            await asyncio.Event().wait()
        return number

    async with bench.working(bench.bind("add", cancel_others), bench.bind("double", double), concurrency=2):
        hostile = await bench.ended(await bench.submit(b"1"))
        good = [await bench.ended(await bench.submit(b"7")) for _ in range(3)]

    assert hostile.state is RunState.FAILED
    assert hostile.failure is not None
    assert hostile.failure.kind.endswith("CancelledByOthers")
    assert [run.state for run in good] == [RunState.COMPLETED] * 3


@on_streams
async def test_a_task_that_a_handler_kept_or_cancelled_steps_no_other_handler(bench: Workbench) -> None:
    """Each async handler that ends at once shares its task with others, unless it could do them harm."""
    kept: list[asyncio.Task[Any] | None] = []
    harmed: list[int] = []

    async def keep_or_cancel(number: int) -> int:
        task = asyncio.current_task()
        assert task is not None
        if task in kept:
            harmed.append(number)
        if number % 2:
            kept.append(task)
            asyncio.get_running_loop().call_soon(task.cancel)
        elif number % 4 == 0:
            task.cancel()
        return number

    runs = [await bench.submit(b"%d" % number) for number in range(1, 21)]
    async with bench.working(bench.bind("add", keep_or_cancel), bench.bind("double", double)):
        states = [(await bench.ended(run)).state for run in runs]

    assert not harmed
    failed = [number for number, state in enumerate(states, start=1) if state is RunState.FAILED]
    assert failed == [4, 8, 12, 16, 20]


@on_streams
async def test_handlers_that_end_at_once_share_a_task_and_one_that_waits_has_it_alone(
    bench: Workbench,
) -> None:
    begun: list[asyncio.Task[Any] | None] = []
    at_ends: list[bool] = []

    async def maybe_wait(number: int) -> int:
        begun.append(None)
        before = id(asyncio.current_task())
        if number % 2:
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.sleep(0.01)
        at_ends.append(id(asyncio.current_task()) == before)
        return number

    runs = [await bench.submit(b"%d" % number) for number in range(20)]
    async with bench.working(bench.bind("add", maybe_wait), bench.bind("double", double)):
        states = {(await bench.ended(run)).state for run in runs}

    assert states == {RunState.COMPLETED}
    assert at_ends == [True] * 20


@on_streams
async def test_the_cancellation_of_every_task_while_jobs_go_together_loses_none(bench: Workbench) -> None:
    mine = asyncio.current_task()
    cancelled = 0

    async def cancel_all(number: int) -> int:
        nonlocal cancelled
        if number == 5 and not cancelled:
            for task in asyncio.all_tasks():
                name = getattr(task.get_coro(), "__qualname__", "")
                if task is not mine and ("Steps." in name or "exchange" in name or "_Worker._run" in name):
                    cancelled += 1
                    task.cancel()
        return number

    runs = [await bench.submit(b"%d" % number) for number in range(20)]
    async with bench.working(bench.bind("add", cancel_all), bench.bind("double", double)):
        states = {(await bench.ended(run)).state for run in runs}

    assert cancelled
    assert states == {RunState.COMPLETED}
