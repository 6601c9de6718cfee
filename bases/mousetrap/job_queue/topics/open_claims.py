"""Keeps the claims of one user, and how many they may be."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mousetrap.job_queue.topics.errors import TooManyClaims, settled
from mousetrap.job_queue.topics.message import Claimed, claimed
from mousetrap.jobs import Claim


class OpenClaims:
    """The claims that are not settled, at most `most` of them, with those under way. Threads may share it."""

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"max_unacked={most}: give 1 or more")
        self._most = most
        self._open: set[Claimed] = set()
        self._under_way = 0
        self._lock = threading.Lock()

    @contextmanager
    def room(self) -> Iterator[None]:
        """Keeps the place of a claim under way. Raises TooManyClaims."""
        with self._lock:
            # A lost connection gives its messages back.
            self._open = {each for each in self._open if not each.claim.is_void()}
            if len(self._open) + self._under_way >= self._most:
                raise TooManyClaims(
                    f"{self._most} claimed messages are not acked yet, as many as max_unacked allows: "
                    "ack or nack some first, or open the topics with a larger max_unacked"
                )
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def add(self, claim: Claim) -> Claimed:
        """Keeps a claim until it is settled."""
        message = claimed(claim)
        with self._lock:
            self._open.add(message)
        return message

    def remove(self, message: Claimed) -> None:
        """Removes a claim that is to be settled. Raises ClaimVoid for one that is not open here."""
        with self._lock:
            if message not in self._open and not message.claim.is_void():
                raise settled(message.topic, message.id)
            self._open.discard(message)
