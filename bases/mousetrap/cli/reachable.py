"""Checks before a stack starts that broker and store answer."""

import asyncio
import time
from collections.abc import Coroutine

from mousetrap.api_client import Misused, Unreachable
from mousetrap.jobs import MousetrapError, QueueUnreachable
from mousetrap.settings import Settings

#: For the first connection: a busy broker takes seconds, and a question that meets none yet ends earlier.
_CONNECT_TIMEOUT_S = 30.0


def check_broker(settings: Settings, advice: str) -> None:
    """Returns if the broker answers. Raises Unreachable, with `advice` on a line below, or Misused for its address."""
    # Imported only here: a stack without RabbitMQ does not need it.
    from mousetrap.job_queue import open_queue

    async def check() -> None:
        deadline = time.monotonic() + _CONNECT_TIMEOUT_S
        async with open_queue(settings, [], name="check") as broker:
            while True:
                try:
                    return await broker.check()
                except QueueUnreachable as error:  # a timeout hides the cause
                    if not isinstance(error.__cause__, TimeoutError) or time.monotonic() > deadline:
                        raise

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
