"""A handler that cancels tasks of others costs no runner."""

import asyncio

from mousetrap.shapes import RunState
from support.workbench import Workbench, double, on_streams


@on_streams
async def test_a_handler_that_cancels_the_runners_fails_its_attempt_and_they_go_on(bench: Workbench) -> None:
    async def cancel_others(number: int) -> int:
        if number == 1:
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
