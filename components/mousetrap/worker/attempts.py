"""Finds, renews and stops the attempts under way in a worker."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from mousetrap.handlers import AsyncCall, AttemptInfo, AttemptOver, BoundHandler
from mousetrap.jobs import Delivery, Done, Job, Outcome, StoreUnreachable
from mousetrap.pipeline import All, Fan, Stage
from mousetrap.run_store import Claim, RunStore
from mousetrap.telemetry import Observer
from mousetrap.worker.beside import Beside
from mousetrap.worker.endings import ANCHOR, SPARE, Ending, Publish
from mousetrap.worker.pauses import Pauses
from mousetrap.worker.stats import Running
from mousetrap.worker.woken import Woken

if TYPE_CHECKING:
    from mousetrap.tracing import AttemptSpan

#: Seconds between two questions whether runs under way were cancelled: a cancel takes effect so late at most.
_CANCEL_POLL_S = 0.5
#: The same for every copy of a message, another one for the job's next attempt and its next round. The message of a worker
#: that had lost the parent is no copy: it is refused for its fence, and another one of the same job must not go with it.
_Key = tuple[str, int, int, int | UnsetType]
_key: Callable[[Job], _Key] = attrgetter("id", "generation", "attempt", "parent_fence")


def _key_in_fan(job: Job) -> _Key:
    """The same of a job in a fan. Of a child no fence is compared, and a later attempt of its parent sends it again under its own."""
    is_child = job.parent == job.fans[-1].job
    return job.id, job.generation, job.attempt, UNSET if is_child else job.parent_fence


# The collector need not know it: it is in a cycle only with the frame of a task, which is cleared when that ends.
class Attempt(msgspec.Struct, eq=False, gc=False):
    """One job under way, the only thing of a worker that changes.

    1. It begins when a delivery brings its job, and is in the table from then on. It may go on with others of its turn, or
       alone: then `task` is the runner that has it.
    2. `claim` is the store's reply; `fence` is set once it has granted the claim.
    3. `running` is true from just before the handler's start until its end; `outcome` is what it ended with.
    4. It may be stopped: `lost` to another worker, or `cancelled` with its run.
    5. It ends when its deliveries are settled, and leaves the table.
    """

    job: Job
    #: The queue that the job came from.
    queue: str
    #: None where this worker has no handler for the job's stage.
    handler: BoundHandler | None
    #: The stage that takes its output; None after the last, without a handler, until the output's type has selected it, and
    #: where the job opens a fan.
    next_stage: Stage | None
    #: Usually one. After a lost connection the queue delivers the message again, and this attempt takes that delivery over.
    deliveries: list[Delivery]
    #: The task that has it alone; None while it goes on with others, or waits for a runner.
    task: "asyncio.Task[Any] | None" = None
    #: The job with the payload that its reference names, once that is read.
    whole_job: Job | None = None
    #: The store's reply to its claim.
    claim: Claim | None = None
    #: Whether the reply to a claim of it was lost: it may have been granted.
    unanswered: bool = False
    #: 0 until the store granted the claim, and once it has replied that another worker has the job.
    fence: int = 0
    #: The handler's call that a task of its own goes on with, where it was begun with others.
    suspended: "tuple[AsyncCall, asyncio.Task[Any]] | None" = None
    #: What the handler ended with, where it ran with others.
    outcome: Outcome | None = None
    #: Where what follows from the outcome left while that was being recorded: the replies of both.
    beside: Beside | None = None
    #: Where this process traces, from the handler's start on.
    span: "AttemptSpan | None" = None
    #: What becomes of its deliveries, once that is known.
    ending: Ending | None = None
    #: Whether `job` is of a later submission than the claim: the store may have refused the earlier one, and accepted this.
    is_later: bool = False
    #: Whether all that follows from it is with the queue, and its deliveries are acknowledged.
    is_settled: bool = False
    #: Whether it counts towards the jobs that may run at once.
    holds: bool = True
    #: Whether it goes on alone, from where it was.
    alone: bool = False
    #: On time.monotonic()'s clock.
    began: float = 0.0
    #: The same of its handler, unless that ended at once with others; 0 before it begins.
    handler_began: float = 0.0
    running: bool = False
    lost: bool = False
    cancelled: bool = False

    @property
    def obsolete(self) -> bool:
        """Whether it was stopped because nothing would follow from its outcome."""
        return self.lost or self.cancelled

    @property
    def posted(self) -> Publish | None:
        """What follows from its outcome, where the queue has that before the outcome is recorded."""
        return self.beside.posted if self.beside else None

    def is_anchor(self, fence: int) -> bool:
        """Whether what follows from the outcome of this fence was sent before this message, whose worker may have died since."""
        return all(each.message.headers.get(ANCHOR) == str(fence) for each in self.deliveries)

    @property
    def is_spare(self) -> bool:
        """Whether another message of the job may stand in a line, or have been taken from there: this one is for when that is lost."""
        return all(SPARE in each.message.headers for each in self.deliveries)

    @property
    def is_woken(self) -> bool:
        """Whether it came out of a line."""
        return all(isinstance(each, Woken) for each in self.deliveries)

    @property
    def is_beside_a_line(self) -> bool:
        """Whether another message of the job comes again by itself, whatever becomes of these."""
        return self.is_spare or any(isinstance(each, Woken) for each in self.deliveries)

    @property
    def is_at_a_loss(self) -> bool:
        """Whether stages follow, and none of them is known to take the output."""
        handler = self.handler
        follows = handler is not None and bool(handler.followers) and handler.opens is None
        return self.next_stage is None and follows

    @property
    def joins(self) -> bool:
        """Whether the output is for a join, which nothing follows but the last output of its fan."""
        return self.next_stage is not None and isinstance(self.next_stage.after, All)

    def as_kept(self, outcome: Outcome) -> Outcome:
        """The outcome as it is recorded: its output is null where it is for a join that takes counts alone."""
        after = self.next_stage.after if self.next_stage is not None else None
        if not isinstance(after, All) or after.keep or not isinstance(outcome, Done):
            return outcome
        return msgspec.structs.replace(outcome, output=msgspec.Raw(b"null"), serializer=UNSET)

    def goes_to(self, outcome: Outcome) -> None:
        """Notes the stage that takes the output, where the outcome names it."""
        if isinstance(outcome, Done) and outcome.next is not UNSET and self.handler is not None:
            self.next_stage = self.handler.follower(outcome.next)

    def lose(self) -> None:
        """Stops the handler: another worker has the job."""
        self._stop()
        self.lost = True

    def cancel(self) -> None:
        """Stops the handler: its run has ended."""
        self._stop()
        self.cancelled = True

    def _stop(self) -> None:
        # An async handler is cancelled, an isolated one killed, a sync one sees it in its context. Once: a second
        # cancellation would interrupt what settles the attempt.
        if self.obsolete:
            return
        if self.task is not None:
            self.task.cancel()
        elif self.suspended is not None:
            self.suspended[1].cancel()


class Attempts:
    """The table of the attempts under way, with two tasks of its own: `renew_leases` and `stop_cancelled`."""

    def __init__(
        self,
        store: RunStore,
        handlers: Sequence[BoundHandler],
        lease: float,
        observer: Observer,
        pauses: Pauses | None = None,
    ) -> None:
        #: Whether the worker hands back what runs: any other cancellation of an attempt is not its own.
        self.handing_back = False
        self._store = store
        self._handlers: Mapping[tuple[str, str, str], BoundHandler] = {
            (each.stage.queue, each.pipeline.name, each.stage.name): each for each in handlers
        }
        #: Whether a handler's pipeline asks to be gone on with in place.
        self.some_in_place = any(each.pipeline.in_place for each in handlers)
        self._lease = lease
        self._pauses = pauses or Pauses()
        self._observer = observer
        self._table: dict[_Key, Attempt] = {}
        #: How many of them count towards the jobs that may run at once.
        self.held = 0
        #: How many may.
        self.room = sys.maxsize
        #: Called with each attempt that has left the table.
        self.on_end: Callable[[Attempt], None] | None = None
        #: Called when one counts no longer towards the jobs that may run at once.
        self.on_free: Callable[[], None] | None = None
        #: Whether there are any: without one, the tasks below sleep, and an idle worker does not wake for them.
        self._some = asyncio.Event()
        #: Set while there is none.
        self.none = asyncio.Event()
        self.none.set()

    def begin(self, job: Job, delivery: Delivery) -> Attempt | None:
        """A new attempt; None when one of the same message is under way, which takes the delivery over."""
        key = _key_in_fan(job) if job.fans else _key(job)
        if (running := self._table.get(key)) is not None:
            if job.accepted_ms > running.job.accepted_ms:
                running.job, running.is_later = job, True
                running.deliveries.insert(0, delivery)
            else:
                running.deliveries.append(delivery)
            return None
        queue = delivery.queue
        handler = self._handlers.get((queue, job.pipeline, job.stage))
        next_stage = handler.next_stage if handler else None
        if not self._table:
            self._some.set()
            self.none.clear()
        # Asked for through its module: the simulation replaces that.
        began = time.monotonic()
        attempt = self._table[key] = Attempt(job, queue, handler, next_stage, [delivery], began=began)
        self.held += 1
        return attempt

    def serves_next(self, attempt: Attempt) -> bool:
        """Whether this worker serves the stage that follows as well, and goes on with it at once."""
        handler, following = attempt.handler, attempt.next_stage
        if handler is None or following is None or not handler.pipeline.in_place or attempt.joins:
            return False
        if following.queue in self._pauses:
            return False  # its job is to wait in its queue, as all others of it
        return (following.queue, handler.pipeline.name, following.name) in self._handlers

    def hold(self, attempt: Attempt, holds: bool) -> None:
        """Counts the attempt towards the jobs that may run at once, or no longer."""
        self.held += holds - attempt.holds
        attempt.holds = holds
        if self.on_free is not None and not holds:
            self.on_free()

    def end(self, attempt: Attempt) -> None:
        """Takes it out of the table."""
        job = attempt.job
        del self._table[_key_in_fan(job) if job.fans else _key(job)]
        if attempt.holds:
            self.hold(attempt, False)
        if attempt.span is not None:
            attempt.span.end("lost" if attempt.lost else "cancelled" if attempt.cancelled else "handed_back")
        if not self._table:
            self._some.clear()
            self.none.set()
        if self.on_end is not None:
            self.on_end(attempt)

    def left(self) -> Sequence[Attempt]:
        """Those under way."""
        return list(self._table.values())

    def opening(self, info: AttemptInfo) -> "tuple[Job, Fan, AttemptSpan | None]":
        """The job of an attempt whose handler runs, the fan that it opens, and its span."""
        for each in self._table.values():
            of_it = (each.job.id, each.fence) == (info.job_id, info.fence)
            if of_it and each.handler is not None and each.handler.opens is not None:
                return each.job, each.handler.opens, each.span
        raise AttemptOver

    def running(self) -> Sequence[Running]:
        """The attempts that have their claim, oldest first."""
        return [
            Running(
                run_id=each.job.run_id,
                pipeline=each.job.pipeline,
                stage=each.job.stage,
                attempt=each.job.attempt,
                since=each.began,
            )
            for each in self._table.values()
            if each.fence
        ]

    async def renew_leases(self) -> None:
        """Renews each claim three times a lease; stops an attempt whose job another worker has claimed.

        A young attempt is left alone: most end before, under the record that they were claimed with. Young is a sixth of the lease:
        each claim has half of its lease left at least. One whose outcome was refused is left alone too: stopped now, it would
        be parked twice.
        """
        while True:
            await self._some.wait()
            await asyncio.sleep(self._lease / 3)
            latest = time.monotonic() - self._lease / 6
            held = [each for each in self._table.values() if each.fence and each.began <= latest]
            renewed = await asyncio.gather(*map(self._renew, held), return_exceptions=True)
            for attempt, result in zip(held, renewed, strict=True):
                if result is False and attempt.fence and attempt in self._table.values():
                    self._observer.lease_lost(attempt.job)
                    attempt.lose()

    async def stop_cancelled(self) -> None:
        """Stops the running handlers whose run was ended from outside."""
        while True:
            await self._some.wait()
            await asyncio.sleep(_CANCEL_POLL_S)
            runs = list({attempt.job.run_id for attempt in self._table.values() if attempt.running})
            ended: set[str] = set()
            with suppress(StoreUnreachable):  # asked again soon
                ended = await self._store.ended(runs) if runs else ended
            for attempt in list(self._table.values()):
                if attempt.running and attempt.job.run_id in ended:
                    self._observer.cancelled(attempt.job)
                    attempt.cancel()

    async def _renew(self, attempt: Attempt) -> bool:
        return await self._store.renew(attempt.job, fence=attempt.fence, lease=self._lease)
