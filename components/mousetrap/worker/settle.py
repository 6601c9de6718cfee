"""Settles a delivery: publishes what follows, then acknowledges."""

from collections.abc import Sequence

import msgspec

from mousetrap.jobs import (
    Delivery,
    Done,
    Failure,
    GiveUp,
    Job,
    Message,
    Outcome,
    Queue,
    RetryLater,
    Settled,
    dead_queue,
    signed_message,
)
from mousetrap.pipeline import Stage
from mousetrap.run_store import Busy, Decision, Locked
from mousetrap.telemetry import Observer
from mousetrap.worker.dead_letter import dead_letter
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.outages import Outages

#: Seconds until a job that waits for a lock asks again: a quarter of what it has waited, between these two.
_LOCK_POLL_MIN_S, _LOCK_POLL_MAX_S = 0.2, 10.0


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Another job follows: the next stage's, or the next attempt."""

    job: Job
    queue: str
    #: Seconds.
    after: float = 0.0


class Park(msgspec.Struct, frozen=True):
    """The same job is delivered again later, and not counted as a try."""

    job: Job
    #: Seconds.
    after: float


class Bury(msgspec.Struct, frozen=True):
    """The job becomes a dead letter, signed with the first key."""

    job: Job
    reason: str
    failure: Failure


class Refuse(msgspec.Struct, frozen=True):
    """The message becomes a dead letter as it was delivered, and touches no run; `job` is None where it is not ours."""

    job: Job | None
    reason: str
    failure: Failure


class Drop(msgspec.Struct, frozen=True):
    """Nothing follows."""


class HandBack(msgspec.Struct, frozen=True):
    """The queue delivers the message to another worker; it is not acknowledged."""


#: What becomes of a delivery. All but HandBack end with its acknowledgement.
Ending = Publish | Park | Bury | Refuse | Drop | HandBack


def ending_of(outcome: Outcome, job: Job, queue: str, next_stage: Stage | None, fence: int) -> Ending:
    """The ending of a job from `queue` whose outcome is recorded; always the same for the same outcome.

    `fence` is the one that it is recorded under, which the next stage's job carries.
    """
    match outcome:
        case Done(output) if next_stage is not None:
            following = job.following(
                next_stage.name, bytes(output), outcome.serializer, outcome.reference, fence=fence
            )
            return Publish(following, next_stage.queue)
        case Done(next=str(name)):
            return Bury(job, "unknown-stage", unknown_follower(job, name))
        case Done():
            return Drop()
        case RetryLater(seconds):
            return Publish(job.again(), queue, seconds) if outcome.counted else Park(job, seconds)
        case GiveUp(reason, failure):
            return Bury(job, reason, failure)


def unknown_follower(job: Job, name: str) -> Failure:
    """The failure of a job whose recorded outcome goes to a stage that does not follow its own any more.

    An empty name is one of when a single stage followed.
    """
    where = (
        f"for stage {name!r}, which does not follow it"
        if name
        else "for the one that followed it, and several follow"
    )
    text = (
        f"the output of stage {job.stage!r} is recorded {where} in the pipeline that this worker has: deploy one that has it, "
        "and redrive this letter"
    )
    return Failure(kind="UnknownStage", text=text)


def unrecorded(decision: Decision, job: Job, lease: float) -> Ending:
    """The ending of a job whose outcome the store did not take."""
    match decision:
        case "unlocked":
            return Park(job, _LOCK_POLL_MIN_S)
        case "stale":
            # The winner can be dead: a claim can reach the store long after its worker gave it up or died. So this message
            # stays until the winner has decided, or its claim has ended.
            return Park(job, lease)
        case _:
            return Drop()


def waiting(claim: Busy | Locked, job: Job) -> Ending:
    """The ending of a job that another worker holds, or whose lock another run holds."""
    if isinstance(claim, Busy):
        return Park(job, claim.seconds)  # by then its holder will most likely have finished it
    return Park(job, min(_LOCK_POLL_MAX_S, max(_LOCK_POLL_MIN_S, claim.seconds / 4)))


class Outgoing(msgspec.Struct, frozen=True):
    """A message to publish."""

    queue: str
    message: Message
    #: Seconds.
    after: float = 0.0


def outgoing(ending: Ending, delivery: Delivery, options: WorkerOptions, now_ms: int) -> Outgoing | None:
    """The message that must be with the broker before the delivery may be acknowledged."""
    match ending:
        case Publish(job, queue, seconds):
            return Outgoing(queue, signed_message(job, options.keyring), seconds)
        case Park(job, seconds):
            return Outgoing(delivery.queue, signed_message(job, options.keyring), seconds)
        case Bury(job, reason, failure):
            message = signed_message(job, options.keyring)
        case Refuse(_, reason, failure):
            message = delivery.message
        case _:
            return None
    letter = dead_letter(
        message, delivery.queue, reason, failure, job=ending.job, worker=options.name, now_ms=now_ms
    )
    return Outgoing(dead_queue(delivery.queue), letter)


class Settler:
    """Acts on endings; the only place in a worker that acknowledges."""

    def __init__(self, queue: Queue, options: WorkerOptions, outages: Outages, observer: Observer) -> None:
        self._queue = queue
        self._options = options
        self._outages = outages
        self._observer = observer

    async def settle(
        self, deliveries: Sequence[Delivery], ending: Ending, posted: Publish | None = None
    ) -> None:
        """Publishes what follows, unless that is `posted`, which the queue has; then acknowledges.

        A crash between the two repeats a message, and loses none.
        """
        if isinstance(ending, HandBack):
            for delivery in deliveries:
                delivery.hand_back()
            return
        queue, observer = deliveries[0].queue, self._observer
        if isinstance(ending, Refuse):
            observer.refused(queue, ending.failure)
        now_ms = int(self._options.runtime.now() * 1000)
        message = None if ending is posted else outgoing(ending, deliveries[0], self._options, now_ms)
        if message is not None:
            act = f"publish to {message.queue}"
            await self._outages.retry_until_up(
                act, self._queue.publish, message.queue, message.message, after=message.after
            )
        match ending:
            case Publish():
                self.published(ending)
            case Park(job, seconds):
                observer.parked(job, queue, seconds)
            case Bury(job, reason) | Refuse(job, reason):
                observer.buried(job, queue, reason)
        self.acknowledge(deliveries)

    def post(self, following: Publish, settled: Settled) -> None:
        """Publishes the next stage's job with others of this turn; `settled` gets None once the queue has it, else the error."""
        self._queue.post(following.queue, signed_message(following.job, self._options.keyring), settled)

    def published(self, ending: Publish) -> None:
        """The queue has the job."""
        self._observer.published(ending.job, ending.queue)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Removes the messages: what follows from them is with the broker."""
        for delivery in deliveries:
            delivery.acknowledge()
