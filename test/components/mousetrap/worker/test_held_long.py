"""Tests a handler that runs for longer than RabbitMQ lets it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from support.rabbitmq import OwnRabbitMQ, virtual_host
from support.workbench import TIMEOUT_S, workbench

pytestmark = [pytest.mark.servers, pytest.mark.long]

_SET = "application:set_env(rabbit, consumer_timeout, {}), application:set_env(rabbit, channel_tick_interval, {})."
#: Milliseconds: RabbitMQ's own half an hour, and how often it looks.
_USUAL = (1_800_000, 60_000)
#: So that a test need not wait for it.
_SHORT = (3_000, 1_000)


class TakenBack(logging.Handler):
    """Counts how often the broker took back what was held for too long."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._loop = asyncio.get_running_loop()
        self._times = 0
        self.twice = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "delivery acknowledgement" in record.getMessage():
            self._times += 1
            if self._times == 2:
                self._loop.call_soon_threadsafe(self.twice.set)


@asynccontextmanager
async def counted() -> AsyncIterator[TakenBack]:
    """Counts what is logged until the block ends."""
    handler = TakenBack()
    logging.getLogger("mousetrap").addHandler(handler)
    try:
        yield handler
    finally:
        logging.getLogger("mousetrap").removeHandler(handler)


async def test_a_job_that_the_broker_takes_back_goes_on_and_is_done_once(
    own_rabbitmq: OwnRabbitMQ, store_url: str
) -> None:
    begun: list[int] = []
    own_rabbitmq.rabbitmqctl("eval", _SET.format(*_SHORT))
    try:
        with virtual_host(own_rabbitmq) as url:
            async with counted() as taken_back, workbench(url, store_url) as bench:

                async def add(number: int) -> int:
                    begun.append(number)
                    async with asyncio.timeout(TIMEOUT_S):
                        await taken_back.twice.wait()
                    return number + 1

                def double(number: int) -> Any:
                    return number * 2

                async with bench.working(bench.bind("add", add), bench.bind("double", double)):
                    run = await bench.ended(await bench.submit(b"1"))
    finally:
        own_rabbitmq.rabbitmqctl("eval", _SET.format(*_USUAL))

    assert (run.state, run.result) == ("completed", 4)
    assert begun == [1]
    assert [event.kind for event in run.timeline].count("started") == 2
