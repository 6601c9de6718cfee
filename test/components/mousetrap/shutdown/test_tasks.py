"""Background tasks end although a cancellation is lost, within a timeout."""

import asyncio
from contextlib import suppress

import pytest

from mousetrap.shutdown import end_tasks


async def loses(cancellations: int) -> None:
    """Goes on after so many cancellations."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancellations -= 1
            if cancellations < 0:
                raise


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_a_task_that_loses_a_cancellation_is_cancelled_again(lost: int) -> None:
    task = asyncio.create_task(loses(lost))
    await asyncio.sleep(0)
    assert await end_tasks(task, None, timeout_s=20)
    assert task.cancelled()


async def test_a_task_that_loses_every_cancellation_is_named_and_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    endless = True

    async def work() -> None:
        while endless:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    task = asyncio.create_task(work(), name="the endless one")
    await asyncio.sleep(0)
    assert not await end_tasks(task, timeout_s=0.05)
    endless = False
    await task

    assert "the endless one: cancelled, and still running after 0.05 s" in caplog.text


async def test_what_a_task_raises_at_its_end_is_not_raised_here() -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    assert await end_tasks(task)
    assert isinstance(task.exception(), ZeroDivisionError)
