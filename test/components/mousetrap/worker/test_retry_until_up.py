"""An outage is one log line, however many jobs wait."""

import asyncio
import logging

import pytest

from mousetrap.jobs import StoreUnreachable
from mousetrap.worker.outages import Outages, StoppedWaiting, stopped_by


async def test_many_that_wait_report_it_once_and_all_go_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    outages, asked = Outages(), 0

    async def answer() -> str:
        nonlocal asked
        asked += 1
        if asked <= 30:
            raise StoreUnreachable("the store is away")
        return "here"

    answers = await asyncio.gather(*(outages.retry_until_up("claim jobs", answer) for _ in range(20)))

    assert answers == ["here"] * 20
    assert [record.message for record in caplog.records] == [
        "waiting to claim jobs: the store is away",
        "able to claim jobs again",
    ]


async def test_one_who_is_asked_to_stop_waits_no_longer() -> None:
    stop = asyncio.Event()

    async def away() -> None:
        stop.set()
        raise StoreUnreachable("the store is away")

    with pytest.raises(StoppedWaiting):
        async with stopped_by(stop):
            await Outages().retry_until_up("claim jobs", away)
