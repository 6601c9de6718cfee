"""Accepts messages of Celery, and acknowledges each once its run is kept."""

import asyncio
import logging
import random

from mousetrap.celery.arrived import FROM_CELERY, REFUSED, Arrived
from mousetrap.celery.passing import Passing
from mousetrap.celery_messages import check_follows, is_more, run_priority
from mousetrap.client import UnknownPipeline
from mousetrap.job_queue import ForeignDelivery
from mousetrap.jobs import MousetrapError, RecordDamaged, Unroutable
from mousetrap.payloads import PayloadTooLarge
from mousetrap.retry import Backoff
from mousetrap.run_store import RunConflict
from mousetrap.submit_run import run_id_of_key

#: For what is being accepted when the process is to end. What is left comes again.
_FINISH_S = 5.0
_BACKOFF = Backoff(first_s=0.2, longest_s=10.0, jitter=0.5)

#: A call that raises one of these may be done later, when an operator has acted. Held until then it would hold up all behind it.
_UNDONE: tuple[type[Exception], ...] = (*REFUSED, UnknownPipeline, Unroutable, RecordDamaged)

_log = logging.getLogger("mousetrap.celery")


class Intake:
    """Makes a run of each message.

    1. A call is a run of its pipeline at once.
    2. Where something follows it, a run of `from_celery` is started as well, which waits for the first and sends that on. What is not
       understood is such a run alone, and ends as a dead letter; so is one that meets a defect of ours.
    3. The message is acknowledged once its runs are accepted. While broker or store is away it waits, and so do those behind it.
    """

    def __init__(self, passing: Passing) -> None:
        self._passing = passing
        self._tasks: set[asyncio.Task[None]] = set()
        self.accepted = 0

    def receive(self, delivery: ForeignDelivery) -> None:
        """Begins to accept a message."""
        task = asyncio.create_task(self._take(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Waits a moment for what is being accepted, and ends the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_FINISH_S)
        for task in list(self._tasks):
            task.cancel()

    async def _take(self, delivery: ForeignDelivery) -> None:
        failures = 0
        while not delivery.is_void():
            try:
                await self._accept(Arrived.of(delivery.queue, delivery.message))
            except Exception as error:  # noqa: BLE001  whatever it is, the message stays until it is accepted
                failures += 1
                if failures == 1:
                    defect = None if isinstance(error, MousetrapError) else error
                    _log.warning(
                        "%s: a message waits to be accepted: %s", delivery.queue, error, exc_info=defect
                    )
                await asyncio.sleep(_BACKOFF.pause(failures, random.random()))
            else:
                self.accepted += 1
                delivery.acknowledge()
                return

    async def _accept(self, arrived: Arrived) -> None:
        try:
            is_done = await self._start(arrived)
        except _UNDONE as error:
            is_done = False
            _log.warning("a message of %s becomes a run of from_celery: %s", arrived.queue, error)
        except MousetrapError:
            raise  # an outage
        except Exception as error:  # noqa: BLE001  a defect: held, the message would meet it without end
            is_done = False
            _log.warning(
                "a message of %s becomes a run of from_celery: %s", arrived.queue, error, exc_info=error
            )
        if not is_done:
            await self._keep(arrived)

    async def _start(self, arrived: Arrived) -> bool:
        """Starts the call's run. True where that is all there is to do."""
        call = arrived.call
        check_follows(call)
        if not await self._passing.start(call):
            _log.warning("task %s (%s) is dropped: its time is over", call.id, call.task)
            return True
        return not is_more(call, self._passing.declared)

    async def _keep(self, arrived: Arrived) -> None:
        """Makes a run of `from_celery`, one for the same message; of one that is too large, with the start of its body."""
        try:
            await self._submit(arrived)
        except PayloadTooLarge as error:
            _log.warning("the body of a message of %s is cut: %s", arrived.queue, error)
            await self._submit(arrived.shortened())

    async def _submit(self, arrived: Arrived) -> None:
        try:
            await self._submit_as(arrived.key, arrived)
        except RunConflict:  # the same id with another content: both are kept
            await self._submit_as(arrived.hash, arrived)

    async def _submit_as(self, key: str, arrived: Arrived) -> None:
        run_id = run_id_of_key("celery", FROM_CELERY.name, key)
        priority = run_priority(arrived.priority)
        await self._passing.client.submit(FROM_CELERY, arrived, id=run_id, priority=priority)
