"""Checks before a stack starts that broker and store answer."""

import asyncio
from collections.abc import Coroutine

from mousetrap.api_client import Misused, Unreachable
from mousetrap.jobs import MousetrapError, QueueUnreachable
from mousetrap.settings import Settings


def check_broker(settings: Settings, advice: str) -> None:
    """Returns if the broker answers. Raises Unreachable, with `advice` on a line below, or Misused for its address."""
    # Imported only here: a stack without RabbitMQ does not need it.
    from mousetrap.job_queue import open_queue

    async def check() -> None:
        async with open_queue(settings, [], name="check") as broker:
            try:
                await broker.check()
            except QueueUnreachable:
                await broker.check()  # the first error may be a timeout, which hides the cause

    _run(check(), "MOUSETRAP_BROKER_URL", advice)


def check_store(settings: Settings, advice: str) -> None:
    """Returns if the store answers. Raises as check_broker does."""
    from mousetrap.run_store import open_store

    async def check() -> None:
        async with open_store(
            settings.store_url, retention=settings.retention_seconds, tls=settings.tls
        ) as store:
            await store.check()

    _run(check(), "MOUSETRAP_STORE_URL", advice)


def _run(check: Coroutine[object, object, None], variable: str, advice: str) -> None:
    try:
        asyncio.run(check)
    except ValueError as error:
        raise Misused(f"{variable}: {error}") from error
    except MousetrapError as error:
        raise Unreachable(f"{error}\n{advice}") from error
