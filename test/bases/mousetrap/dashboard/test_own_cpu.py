"""Checks that a coroutine's CPU is counted without that of others."""

import asyncio

import pytest

from mousetrap.dashboard.own_cpu import OwnCpu


class Clock:
    def __init__(self) -> None:
        self.used_s = 0.0

    def work(self, seconds: float) -> None:
        self.used_s += seconds


async def test_what_others_compute_meanwhile_is_not_counted() -> None:
    clock, other_worked = Clock(), asyncio.Event()

    async def story() -> str:
        clock.work(1.0)
        await other_worked.wait()
        clock.work(2.0)
        return "done"

    async def other() -> None:
        clock.work(100.0)
        other_worked.set()

    own = OwnCpu(story(), lambda: clock.used_s)
    found, _ = await asyncio.gather(_awaiting(own), other())

    assert (found, own.used_s) == ("done", 3.0)


async def test_an_error_and_a_cancellation_reach_the_coroutine() -> None:
    ended: list[str] = []

    async def story(fail: bool) -> None:
        try:
            await asyncio.sleep(0)
            if fail:
                raise ValueError
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with pytest.raises(ValueError):
        await OwnCpu(story(fail=True), lambda: 0.0)
    task = asyncio.create_task(_awaiting(OwnCpu(story(fail=False), lambda: 0.0)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended == ["cancelled"]


async def _awaiting(own: OwnCpu[str] | OwnCpu[None]) -> str | None:
    return await own
