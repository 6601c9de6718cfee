"""Makes queues for processes that may not, and returns when they stand."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from mousetrap.job_queue.connect import connect
from mousetrap.job_queue.open_channel import open_channel
from mousetrap.job_queue.open_queue import options_of
from mousetrap.job_queue.options import QueueOptions
from mousetrap.settings import Settings


def make_queues(settings: Settings, queues: Iterable[str]) -> None:
    """Declares `queues` and all that goes with them at `settings.broker_url`, whatever the settings say of declaring.

    Raises QueueUnreachable for a broker that is away, that lets us not, or where one stands that differs; ValueError for an
    address that cannot be read.
    """
    options = replace(options_of(settings), declare=True)
    if settings.broker_url.startswith("amqp"):
        # Not the asynchronous one: its questions end after 1.5 s, and a cluster may take longer to make sixty queues.
        open_channel(settings.broker_url, queues, options=options).close()
    else:
        asyncio.run(_make_streams(settings.broker_url, list(queues), options))


async def _make_streams(url: str, queues: list[str], options: QueueOptions) -> None:
    async with connect(url, queues, name="migrate", options=options) as queue:
        for name in queues:
            await queue.ready(name)
