"""Shares one look at a dead queue among concurrent readers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mousetrap.dead_letters.held import hold, read_dead
from mousetrap.dead_letters.letter import DeadLetter, read_letter
from mousetrap.jobs import Delivery, Queue, dead_queue
from mousetrap.signing import Keyring

#: A look is not repeated before so many times its duration have passed: looking takes at most a tenth of the time.
_REST = 10.0
#: Up to so many letters and bytes of bodies a look is cheap, and is repeated as soon as the queue has changed.
_FEW, _FEW_BYTES = 200, 1_048_576
#: After this a look is forgotten even where the queue seems unchanged: RabbitMQ reports only how many messages there are.
_MAX_AGE_S = 15.0
#: The mark of a look that took none: it equals no other.
_UNMARKED = object()

Found = list[tuple[DeadLetter, Delivery]]


@dataclass(frozen=True, slots=True)
class Seen:
    """The result of a look, oldest letter first."""

    letters: tuple[DeadLetter, ...]
    #: How many more there are.
    beyond: int
    #: The queue's mark at that time; with another mark it has changed since.
    mark: Hashable
    #: When the look ended, in the clock's seconds, and for how many seconds it is not repeated.
    at: float
    rest: float


class Holding:
    """Letters that a repair holds, oldest first."""

    def __init__(self, found: Found, beyond: int) -> None:
        self.found = found
        #: How many more there were.
        self.beyond = beyond
        #: By their deliveries: those that are not settled.
        self.letters = {id(delivery): letter for letter, delivery in found}

    def settle(self, delivery: Delivery) -> None:
        """Removes a letter for good."""
        delivery.acknowledge()
        self.letters.pop(id(delivery), None)


class SharedLook:
    """The letters of one queue. Who takes letters away does it within `repair`."""

    def __init__(
        self, queue: Queue, name: str, keyring: Keyring, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._queue = queue
        self._name = name
        self._keyring = keyring
        self._now = now
        self._seen: Seen | None = None
        self._forgetting: asyncio.TimerHandle | None = None
        #: One look would not find the letters that another holds.
        self._lock = asyncio.Lock()
        self._held: Holding | None = None
        #: How often letters were taken off the queue, to be looked at or repaired.
        self._taken = 0

    @property
    def undisturbed(self) -> int | None:
        """Equal at two times between which we took no letter off the queue; None while we have some, or may."""
        return None if self._lock.locked() else self._taken

    def recent(self, stale: float) -> Seen | None:
        """A look that is reused without asking the queue, if there is one."""
        seen = self._seen
        good = seen is not None and not self._lock.locked() and self._is_recent(seen, stale)
        return seen if good else None

    def found_nothing(self) -> Seen:
        """Keeps that nothing is there, which its caller has found out while this was undisturbed."""
        self._forget()
        self._seen = Seen((), 0, _UNMARKED, self._now(), 0.0)
        return self._seen

    async def look(self, most: int, *, stale: float = 0.0, fresh: bool = False) -> Seen:
        """At most `most` letters; a look of the last `stale` seconds is reused. Raises what the queue raises.

        While a repair goes on here, which can be seconds, these are the letters that it holds and has not settled; what came
        since it began is counted as beyond. With `fresh` the end of the repair is awaited, and no look is reused.
        """
        if self._held is not None and not fresh:
            beyond = await self._queue.count_ready(dead_queue(self._name))
            if (held := self._held) is not None:
                return Seen(tuple(held.letters.values()), beyond, None, self._now(), 0.0)
        async with self._lock:
            seen = self._seen
            if fresh or seen is None or not await self._is_good(seen, stale):
                seen = await self._look(most)
            return seen

    @asynccontextmanager
    async def repair(self, most: int) -> AsyncIterator[Holding]:
        """Holds at most `most` letters, until the block ends."""
        async with self._lock:
            self._taken += 1
            try:
                async with hold(self._queue, self._name, most) as held:
                    found = [
                        (read_letter(it.message, self._name, self._keyring), it) for it in held.deliveries
                    ]
                    self._held = Holding(sorted(found, key=lambda each: age(each[0])), held.beyond)
                    yield self._held
            finally:
                self._held = None
                self._forget()

    def _forget(self) -> None:
        """Makes the next call look again."""
        self._seen = None
        if self._forgetting is not None:
            self._forgetting.cancel()

    async def _is_good(self, seen: Seen, stale: float) -> bool:
        return self._is_recent(seen, stale) or (await self._queue.mark(dead_queue(self._name)) == seen.mark)

    def _is_recent(self, seen: Seen, stale: float) -> bool:
        return self._now() - seen.at < max(seen.rest, stale)

    async def _look(self, most: int) -> Seen:
        begun = self._now()
        self._taken += 1
        self._forget()
        mark = await self._queue.mark(dead_queue(self._name))
        messages, beyond = await read_dead(self._queue, self._name, most)
        letters = sorted((read_letter(it, self._name, self._keyring) for it in messages), key=age)
        few = len(messages) <= _FEW and sum(len(it.body) for it in messages) <= _FEW_BYTES
        now = self._now()
        seen = Seen(tuple(letters), beyond, mark, now, 0.0 if few else _REST * (now - begun))
        self._seen = seen
        # Bodies are kept in memory only while they are read.
        loop = asyncio.get_running_loop()
        self._forgetting = loop.call_later(max(_MAX_AGE_S, seen.rest), self._forget)
        return seen


def age(letter: DeadLetter) -> int:
    """The order of letters; one without a time is older than any."""
    return letter.at_ms or 0
