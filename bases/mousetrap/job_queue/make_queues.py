"""Declares queues once, for processes that may not."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from mousetrap.job_queue.open_channel import open_channel
from mousetrap.job_queue.open_queue import connect, options_of
from mousetrap.jobs import QueueOptions
from mousetrap.settings import Settings


def make_queues(settings: Settings, queues: Iterable[str]) -> None:
    """Declares `queues` and their dead queues at `settings.broker_url`, whatever `settings.declare` is.

    Raises QueueUnreachable for a broker that is away, that refuses, or that has one of them with other arguments; ValueError
    for an address that cannot be read.
    """
    options = replace(options_of(settings), declare=True)
    if settings.broker_url.startswith("amqp"):
        # The blocking channel, since requests of the other one time out after 1.5 s; a cluster may need longer for 60 queues.
        open_channel(settings.broker_url, queues, options=options).close()
    else:
        asyncio.run(_make_streams(settings.broker_url, list(queues), options))


async def _make_streams(url: str, queues: list[str], options: QueueOptions) -> None:
    async with connect(url, queues, name="migrate", options=options) as queue:
        for name in queues:
            await queue.count_ready(name)
