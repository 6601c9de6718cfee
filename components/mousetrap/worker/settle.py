"""Settles a delivery: publishes what follows, then acknowledges."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from mousetrap.jobs import Delivery, Job, Message, Queue, Settled, dead_queue, signed_message
from mousetrap.telemetry import Observer
from mousetrap.worker.dead_letter import dead_letter
from mousetrap.worker.endings import (
    ANCHOR,
    SPARE,
    Bury,
    Ending,
    HandBack,
    Join,
    Park,
    Publish,
    Refuse,
    Several,
    StandInLine,
)
from mousetrap.worker.joins import Joins
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.outages import Outages


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
        case Park(job, seconds, fence, is_spare):
            marks = {ANCHOR: str(fence)} if fence else {SPARE: "1"} if is_spare else {}
            return Outgoing(delivery.queue, _marked(job, options, marks), seconds)
        case StandInLine(job, seconds):
            return Outgoing(delivery.queue, _marked(job, options, {SPARE: "1"}), seconds)
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


def _marked(job: Job, options: WorkerOptions, marks: Mapping[str, str]) -> Message:
    message = signed_message(job, options.keyring)
    return replace(message, headers={**message.headers, **marks}) if marks else message


class Settler:
    """Acts on endings; the only place in a worker that acknowledges."""

    def __init__(
        self, queue: Queue, options: WorkerOptions, outages: Outages, observer: Observer, joins: Joins
    ) -> None:
        self._queue = queue
        self._options = options
        self._outages = outages
        self._observer = observer
        self._joins = joins

    async def settle(
        self, deliveries: Sequence[Delivery], ending: Ending, posted: Publish | None = None
    ) -> None:
        """Publishes what follows, unless that is `posted`, which the queue has; then acknowledges.

        A crash between any two of these repeats messages, and loses none.
        """
        if isinstance(ending, HandBack):
            for delivery in deliveries:
                delivery.hand_back()
            return
        for each in ending.endings if isinstance(ending, Several) else (ending,):
            await self.send(each, deliveries[0], posted)
        self.acknowledge(deliveries)

    async def send(self, ending: Ending, delivery: Delivery, posted: Publish | None = None) -> None:
        """Publishes what the ending is about."""
        if isinstance(ending, Join):
            ending = await self._joins.published_by(ending.job, ending.fired)
        queue, observer = delivery.queue, self._observer
        if isinstance(ending, Refuse):
            observer.refused(queue, ending.failure)
        now_ms = int(self._options.runtime.now() * 1000)
        message = None if ending is posted else outgoing(ending, delivery, self._options, now_ms)
        if message is not None:
            act = f"publish to {message.queue}"
            await self._outages.retry_until_up(
                act, self._queue.publish, message.queue, message.message, after=message.after
            )
        match ending:
            case Publish():
                self.published(ending)
            case Park(job, seconds) | StandInLine(job, seconds):
                observer.parked(job, queue, seconds)
            case Bury(job, reason) | Refuse(job, reason):
                observer.buried(job, queue, reason)

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
