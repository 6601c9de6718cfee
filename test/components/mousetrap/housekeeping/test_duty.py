"""A duty is repeated, and an outage ends only its round."""

import asyncio

import pytest

from mousetrap.housekeeping import Duty, run_duties
from mousetrap.jobs import QueueUnreachable


async def test_a_duty_is_repeated_until_its_block_ends() -> None:
    rounds, three = 0, asyncio.Event()

    async def act() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            three.set()

    async with run_duties([Duty(0.0, act)]):
        await asyncio.wait_for(three.wait(), 60)

    counted = rounds
    await asyncio.sleep(0.01)
    assert rounds == counted


async def test_a_round_without_a_server_does_not_end_the_duty() -> None:
    rounds, second = 0, asyncio.Event()

    async def act() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise QueueUnreachable("the broker is away")
        second.set()

    async with run_duties([Duty(0.0, act)]):
        await asyncio.wait_for(second.wait(), 60)


async def test_a_fault_of_ours_is_logged_and_does_not_end_the_duty(caplog: pytest.LogCaptureFixture) -> None:
    rounds, second = 0, asyncio.Event()

    async def act() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise LookupError("no one foresaw it")
        second.set()

    async with run_duties([Duty(0.0, act)]):
        await asyncio.wait_for(second.wait(), 60)
    assert "no one foresaw it" in caplog.text


async def test_duties_do_not_wait_for_each_other() -> None:
    done = asyncio.Event()

    async def stuck() -> None:
        await asyncio.Event().wait()

    async def act() -> None:
        done.set()

    async with run_duties([Duty(0.0, stuck), Duty(0.0, act)]):
        await asyncio.wait_for(done.wait(), 60)
