"""Settles deliveries: publishes what follows from a job, then acknowledges it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

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
    dead_queue,
    signed_message,
)
from mousetrap.pipeline import Stage
from mousetrap.run_store import Busy, Decision, Locked
from mousetrap.telemetry import Observer
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.outages import Outages

#: Bytes of each text in a dead letter's headers, which must fit into one frame together: 8,192 bytes where a broker's
#: frames are smallest. The whole traceback is in the run's timeline alone; its end is for when the store forgot the run.
_MAX_NAME, _MAX_TEXT, _MAX_TRACEBACK = 200, 500, 600
#: Seconds until a job that waits for a lock asks again: a quarter of what it has waited, between these two.
_LOCK_POLL_MIN_S, _LOCK_POLL_MAX_S = 0.2, 10.0


@dataclass(frozen=True, slots=True)
class Publish:
    """The job leads to another one: the next stage's, or its own next attempt."""

    job: Job
    queue: str
    #: Seconds.
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Park:
    """The same job is delivered again later, and not counted as a try."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Bury:
    """The job becomes a dead letter, signed anew with the newest key."""

    reason: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class Refuse:
    """The message becomes a dead letter as it was delivered, and touches no run."""

    reason: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing follows from the job."""


@dataclass(frozen=True, slots=True)
class HandBack:
    """The queue delivers the message to another worker; it is not acknowledged."""


#: What becomes of a delivery. All but HandBack end with its acknowledgement.
Ending = Publish | Park | Bury | Refuse | Drop | HandBack


def after(outcome: Outcome, job: Job, queue: str, next_stage: Stage | None) -> Ending:
    """The ending of a job from `queue` whose outcome is recorded; always the same for the same outcome."""
    match outcome:
        case Done(output):
            if next_stage is None:
                return Drop()
            return Publish(job.following(next_stage.name, bytes(output)), next_stage.queue)
        case RetryLater(seconds):
            return Publish(job.again(), queue, seconds) if outcome.counted else Park(seconds)
        case GiveUp(reason, failure):
            return Bury(reason, failure)


def unrecorded(decision: Decision, lease: float) -> Ending:
    """The ending of a job whose outcome the store did not take."""
    match decision:
        case "unlocked":
            return Park(_LOCK_POLL_MIN_S)
        case "stale":
            # The winner can be dead: a claim can reach the store long after its worker gave it up or died. So this message
            # stays until the winner has decided, or its claim has ended.
            return Park(lease)
        case _:
            return Drop()


def waiting(claim: Busy | Locked) -> Park:
    """The ending of a job that another worker holds, or whose lock another run holds."""
    if isinstance(claim, Busy):
        return Park(claim.seconds)  # by then its holder will most likely have finished it
    return Park(min(_LOCK_POLL_MAX_S, max(_LOCK_POLL_MIN_S, claim.seconds / 4)))


class Outgoing(msgspec.Struct, frozen=True):
    """A message to publish."""

    queue: str
    message: Message
    #: Seconds.
    after: float = 0.0


def outgoing(
    ending: Ending, delivery: Delivery, job: Job | None, options: WorkerOptions, now_ms: int
) -> Outgoing | None:
    """The message that must be with the broker before the delivery may be acknowledged; `job` is None where it holds none."""
    keyring = options.keyring
    match ending:
        case Publish(next_job, queue, seconds):
            return Outgoing(queue, signed_message(next_job, keyring), seconds)
        case Park(seconds) if job is not None:
            return Outgoing(delivery.queue, signed_message(job, keyring), seconds)
        case Bury(reason, failure) if job is not None:
            message = signed_message(job, keyring)
        case Refuse(reason, failure):
            message = delivery.message
        case _:
            return None
    return dead_letter(message, delivery.queue, reason, failure, job=job, worker=options.name, now_ms=now_ms)


def dead_letter(
    message: Message, queue: str, reason: str, failure: Failure, *, job: Job | None, worker: str, now_ms: int
) -> Outgoing:
    """The message for the dead queue: its body unchanged, its story in headers; `job` is None for one that is not ours."""
    story = {
        "mousetrap-reason": reason,
        "mousetrap-error-type": _start(failure.kind, _MAX_NAME),
        "mousetrap-error": _start(failure.text, _MAX_TEXT),
        "mousetrap-attempts": str(job.attempt if job else 0),
        "mousetrap-queue": queue,
        "mousetrap-worker": _start(worker, _MAX_NAME),
        "mousetrap-at": str(now_ms),
    }
    if failure.traceback:
        story["mousetrap-traceback"] = _end(failure.traceback, _MAX_TRACEBACK)
    if job is not None:
        story |= {
            "mousetrap-run": _start(job.run_id, _MAX_NAME),
            "mousetrap-stage": _start(job.stage, _MAX_NAME),
        }
    return Outgoing(dead_queue(queue), Message(message.id, message.body, {**message.headers, **story}))


def _start(text: str, most: int) -> str:
    return _bytes(text)[:most].decode(errors="ignore")


def _end(text: str, most: int) -> str:
    """Of a traceback, the end is where it happened."""
    return _bytes(text)[-most:].decode(errors="ignore")


def _bytes(text: str) -> bytes:
    # Half a surrogate pair, as the name of a file can hold one, has no form on the wire.
    return text.encode(errors="replace")


class Settler:
    """Acts on endings; the only place that acknowledges."""

    def __init__(self, queue: Queue, options: WorkerOptions, outages: Outages, observer: Observer) -> None:
        self._queue = queue
        self._options = options
        self._outages = outages
        self._observer = observer

    async def settle(self, deliveries: Sequence[Delivery], job: Job | None, ending: Ending) -> None:
        """Publishes what follows, then acknowledges: a crash between the two repeats a message, and loses none."""
        if isinstance(ending, HandBack):
            for delivery in deliveries:
                delivery.hand_back()
            return
        first = deliveries[0]
        if isinstance(ending, Refuse):
            self._observer.refused(first.queue, job, ending.failure)
        message = outgoing(ending, first, job, self._options, int(time.time() * 1000))
        if message is not None:
            act = f"publish to {message.queue}"
            await self._outages.wait_out(
                act, self._queue.publish, message.queue, message.message, after=message.after
            )
            self._report(ending, job, first.queue, message.queue)
        for delivery in deliveries:
            delivery.acknowledge()

    def _report(self, ending: Ending, job: Job | None, queue: str, next_queue: str) -> None:
        if isinstance(ending, Bury | Refuse):
            self._observer.buried(job, queue, ending.reason)
        elif job is not None and isinstance(ending, Park):
            self._observer.parked(job, queue, ending.seconds)
        elif job is not None:
            self._observer.published(job, next_queue)
