"""Asks broker and store before a stack starts, so that one which is away is named once, with the cause first."""

import asyncio
from collections.abc import Coroutine

from mousetrap.api_client import Misused, Unreachable
from mousetrap.jobs import MousetrapError, QueueUnreachable
from mousetrap.settings import Settings


def check_broker(settings: Settings, advice: str) -> None:
    """Returns if the broker answers. Raises Unreachable, with `advice` on a line below, or Misused for its address."""
    # Imported only now: without RabbitMQ nothing of it is needed.
    from mousetrap.job_queue import open_queue

    async def ask() -> None:
        async with open_queue(settings, [], name="check") as broker:
            try:
                await broker.check()
            except QueueUnreachable:
                await broker.check()  # it may have been too slow to say what is wrong

    _run(ask(), "MOUSETRAP_BROKER_URL", advice)


def check_store(settings: Settings, advice: str) -> None:
    """Returns if the store answers. Raises as check_broker does."""
    from mousetrap.run_store import open_store

    async def ask() -> None:
        async with open_store(
            settings.store_url, retention=settings.retention_seconds, tls=settings.tls
        ) as store:
            await store.check()

    _run(ask(), "MOUSETRAP_STORE_URL", advice)


def _run(asking: Coroutine[object, object, None], variable: str, advice: str) -> None:
    try:
        asyncio.run(asking)
    except ValueError as error:
        raise Misused(f"{variable}: {error}") from error
    except MousetrapError as error:
        raise Unreachable(f"{error}\n{advice}") from error
