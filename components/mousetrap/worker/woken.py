"""Lets a job from a line stand for a message."""

from collections.abc import Callable

from mousetrap.jobs import Message


class Woken:
    """A delivery of a job that waited for a limit and has room now, with nothing published.

    The store keeps its place until it is settled, and the queue a message that comes again by itself: nothing is to be acknowledged.
    """

    __slots__ = ("_hand_back", "message", "queue")

    redelivered = False
    #: How long it waited is not known here.
    since_ms = 0

    def __init__(self, queue: str, message: Message, hand_back: Callable[["Woken"], None]) -> None:
        self.queue = queue
        self.message = message
        self._hand_back = hand_back

    def acknowledge(self) -> bool:
        return True

    def hand_back(self) -> bool:
        self._hand_back(self)
        return True
