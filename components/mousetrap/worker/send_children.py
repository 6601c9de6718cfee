"""Publishes children, through outages and full queues."""

import asyncio
from functools import partial
from itertools import islice

from mousetrap.jobs import Job, MousetrapError, Queue, QueueFull, signed_message
from mousetrap.retry import Outage
from mousetrap.telemetry import Observer
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.outages import Outages
from mousetrap.worker.suspects import SuspectGate

#: Children that are signed and posted before the event loop gets its turn: two milliseconds of it.
_SLICE = 100


class ChildSender:
    """Shared by all fan-outs of a worker.

    A full queue is waited for, as by a submitter. At most half of the jobs that may run wait so at once: with all of them waiting
    none would be left to take from that queue. One more ends its attempt, which is made again and does not count. So does each of
    them while a suspect is in the gate: it waits until they have left, and no job that would make room passes meanwhile.
    """

    def __init__(
        self, queue: Queue, options: WorkerOptions, outages: Outages, observer: Observer, gate: SuspectGate
    ) -> None:
        self._queue = queue
        self._keyring = options.keyring
        self._outages = outages
        self._observer = observer
        self._gate = gate
        self._may_wait = options.concurrency // 2
        self._waiting = 0

    async def send(self, left: dict[int, Job], queue: str) -> None:
        """Returns once the broker has them; what it has leaves `left`. Raises Outage where it must not wait for room."""
        if not left:
            return
        act = f"publish children to {queue}"
        full = await self._outages.retry_until_up(act, self._posted, left, queue)
        if full is None:
            return
        if self._waiting >= self._may_wait or self._gate.suspects:
            raise _later(full)
        self._waiting += 1
        try:
            await self._outages.retry_until_up(act, self._posted_all, left, queue)
        finally:
            self._waiting -= 1

    async def _posted_all(self, left: dict[int, Job], queue: str) -> None:
        """Raises QueueFull while some are refused, or Outage where it must not wait any longer."""
        if (full := await self._posted(left, queue)) is not None:
            raise _later(full) if self._gate.suspects else full

    async def _posted(self, left: dict[int, Job], queue: str) -> QueueFull | None:
        """Posts what is left, once; the last refusal of a full queue, if there is one. Raises any other error."""
        replies = _Replies(len(left))
        waiting = iter(list(left.items()))
        while posted := list(islice(waiting, _SLICE)):
            for index, child in posted:
                message = signed_message(child, self._keyring)
                self._queue.post(queue, message, partial(self._settled, left, index, queue, replies))
            await asyncio.sleep(0)
        await replies.all_here
        full: QueueFull | None = None
        for error in replies.errors:
            if not isinstance(error, QueueFull):
                raise error
            full = error
        return full

    def _settled(
        self, left: dict[int, Job], index: int, queue: str, replies: "_Replies", error: MousetrapError | None
    ) -> None:
        if error is None and (child := left.pop(index, None)) is not None:
            self._observer.published(child, queue)
        replies.add(error)


def _later(full: QueueFull) -> Outage:
    return Outage(f"{full}; this job goes on with its other children later")


class _Replies:
    """The results of posts that are under way."""

    def __init__(self, count: int) -> None:
        self._missing = count
        self.errors: list[MousetrapError] = []
        self.all_here: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, error: MousetrapError | None) -> None:
        """One of them is known."""
        self._missing -= 1
        if error is not None:
            self.errors.append(error)
        if not self._missing and not self.all_here.done():
            self.all_here.set_result(None)
