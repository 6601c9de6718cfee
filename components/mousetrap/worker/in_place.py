"""Lets a message stand for the job of the next stage, too."""

from mousetrap.jobs import Delivery, Job, Message, signed_message
from mousetrap.signing import Keyring


class StandIn:
    """A delivery as if it were the next stage's: its job's message in that stage's queue, with nothing published.

    To settle it is to settle the message that was delivered, which stays unacknowledged until then. Delivered again, it leads to
    the recorded outcome, and so to the same job.
    """

    __slots__ = ("_delivery", "_job", "_keyring", "queue")

    #: Who holds the job may live: it can have come to it through its queue.
    redelivered = False
    #: It did not wait.
    since_ms = 0

    def __init__(self, delivery: Delivery, job: Job, queue: str, keyring: Keyring) -> None:
        self._delivery = delivery
        self._job = job
        self._keyring = keyring
        self.queue = queue

    @property
    def message(self) -> Message:
        """The job's message, as it would have been published."""
        return signed_message(self._job, self._keyring)

    def acknowledge(self) -> bool:
        return self._delivery.acknowledge()

    def hand_back(self) -> bool:
        return self._delivery.hand_back()
