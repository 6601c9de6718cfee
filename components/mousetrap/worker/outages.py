"""Repeats a refused call until the server's outage is over."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from mousetrap.jobs import MousetrapError, PayloadUnusable, RecordDamaged
from mousetrap.retry import Backoff
from mousetrap.shutdown import AGAIN_S
from mousetrap.telemetry import OutageLog

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("mousetrap.worker")

_BACKOFF = Backoff(first_s=0.1, longest_s=2.0)


class StoppedWaiting(Exception):
    """The worker was asked to stop during an outage, before it had what it needs."""


@asynccontextmanager
async def stopped_by(stop: asyncio.Event) -> AsyncIterator[None]:
    """Cancels the block once `stop` is set, and raises StoppedWaiting in place of what the block raises then."""
    task, sent = asyncio.current_task(), 0
    assert task is not None

    async def cancel() -> None:
        nonlocal sent
        await stop.wait()
        while True:
            sent += 1
            task.cancel()
            await asyncio.sleep(AGAIN_S)

    cancelling = asyncio.create_task(cancel())
    try:
        yield
    except BaseException as error:
        if not sent or task.cancelling() > sent:
            raise
        raise StoppedWaiting from error
    finally:
        cancelling.cancel()
        for _ in range(sent):
            task.uncancel()
    if stop.is_set():
        raise StoppedWaiting


class Outages:
    """Shared by all jobs of a worker: a hundred jobs that wait for one outage to end make one line of log."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._logs: dict[str, OutageLog] = {}

    def __bool__(self) -> bool:
        """Whether a call waits for the end of an outage."""
        return bool(self._logs)

    async def retry_until_up(
        self, act: str, call: Callable[P, Awaitable[T]], *arguments: P.args, **named: P.kwargs
    ) -> T:
        """The result of `call`, repeated while it raises an error of broker or store; ended by cancellation alone.

        `act` names the call in the log. RecordDamaged and PayloadUnusable are raised at once: they concern one job, and do not
        end by themselves.
        """
        failures = 0
        while True:
            try:
                result = await call(*arguments, **named)
            except (RecordDamaged, PayloadUnusable):
                raise
            except MousetrapError as error:
                self._began(act, error)
            else:
                if self._logs and act in self._logs:
                    self._logs.pop(act).ended()
                return result
            failures += 1
            await asyncio.sleep(_BACKOFF.pause(failures, self._chance()))

    def _began(self, act: str, error: MousetrapError) -> None:
        if act not in self._logs:
            self._logs[act] = OutageLog(_log, f"waiting to {act}", f"able to {act} again")
        self._logs[act].began(str(error))
