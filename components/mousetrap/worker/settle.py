"""Settles a delivery: publishes what follows, then acknowledges."""

from collections.abc import Sequence

import msgspec

from mousetrap.jobs import Delivery, Message, Queue, Settled, dead_queue, signed_message
from mousetrap.telemetry import Observer
from mousetrap.worker.dead_letter import dead_letter
from mousetrap.worker.endings import ANCHOR, Bury, Ending, HandBack, Join, Park, Publish, Refuse, Several
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
        case Park(job, seconds, fence):
            parked = signed_message(job, options.keyring)
            if fence:
                parked = Message(parked.id, parked.body, {**parked.headers, ANCHOR: str(fence)})
            return Outgoing(delivery.queue, parked, seconds)
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
            await self._send(each, deliveries[0], posted)
        self.acknowledge(deliveries)

    async def _send(self, ending: Ending, delivery: Delivery, posted: Publish | None) -> None:
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
            case Park(job, seconds):
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
