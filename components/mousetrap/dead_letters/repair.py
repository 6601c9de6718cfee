"""Looks at dead letters, sends them round again, discards and exports them; the dead queues are all there is to know."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mousetrap.dead_letters.edit import edited
from mousetrap.dead_letters.held import hold
from mousetrap.dead_letters.letter import DeadLetter, read_letter, without_story
from mousetrap.dead_letters.selection import Selection, matches
from mousetrap.dead_letters.shared_look import SharedLook, age
from mousetrap.jobs import Delivery, Job, Queue, signed_message
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import RunStore
from mousetrap.signing import Keyring

#: Letters of one queue that one look takes; so many are held, and read, at once.
MOST_HELD = 10_000

Found = list[tuple[DeadLetter, Delivery]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a look found."""

    #: The letters that are meant, oldest first.
    letters: tuple[DeadLetter, ...]
    #: How many letters were looked at, and how many more lay there.
    seen: int
    unseen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What became of the letters that were meant."""

    matched: int = 0
    #: Redriven or discarded.
    done: int = 0
    #: Dropped, because their job has gone on without them.
    stale: int = 0
    #: Letters that nobody has looked at, because too many lie there at once.
    unseen: int = 0

    @property
    def left(self) -> int:
        """Those that were meant and still lie there."""
        return self.matched - self.done - self.stale

    def __add__(self, other: "Repaired") -> "Repaired":
        return Repaired(
            matched=self.matched + other.matched,
            done=self.done + other.done,
            stale=self.stale + other.stale,
            unseen=self.unseen + other.unseen,
        )


class DeadLetters:
    """The dead letters of `queues`. Every method raises what the queue and the store raise; then repeat it: nothing is lost."""

    def __init__(
        self,
        queue: Queue,
        store: RunStore,
        keyring: Keyring,
        pipelines: Mapping[str, Pipeline],
        *,
        now: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._queue = queue
        self._store = store
        self._keyring = keyring
        self._pipelines = pipelines
        self._now = now
        self._pause = pause
        names = sorted({stage.queue for pipeline in pipelines.values() for stage in pipeline.stages})
        self._looks = {name: SharedLook(queue, name, keyring) for name in names}

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues whose dead letters these are."""
        return tuple(self._looks)

    async def look(self, selection: Selection, *, stale: float = 0.0) -> Looked:
        """The letters that are meant; all lie there still.

        Those who ask at once share a look; one of the last `stale` seconds will do, whatever happened since.
        """
        found: list[DeadLetter] = []
        seen = unseen = 0
        for name in self._meant(selection):
            look = await self._looks[name].look(MOST_HELD, stale)
            found += [letter for letter in look.letters if matches(letter, selection)]
            seen, unseen = seen + len(look.letters), unseen + look.beyond
        return Looked(letters=tuple(sorted(found, key=age)), seen=seen, unseen=unseen)

    async def find(self, queue: str, letter_id: str) -> DeadLetter | None:
        """One letter; None when it does not lie there, or not any more."""
        looked = await self.look(Selection(queue=queue, ids=frozenset({letter_id})))
        return looked.letters[0] if looked.letters else None

    async def redrive(self, selection: Selection, *, rate: float, limit: int) -> Repaired:
        """Sends at most `limit` of the letters that are meant round again, oldest first and at most `rate` a second.

        A letter leaves only when the queue that gave it up has it back for good.
        """

        due = 0.0

        async def act(letter: DeadLetter) -> bool | None:
            nonlocal due
            await self._pause(max(0.0, due - self._now()))
            due = self._now() + 1 / rate
            return await self._send_back(letter, letter.job)

        return await self._repair(selection, limit, act)

    async def redrive_edited(self, queue: str, letter_id: str, payload: bytes) -> Repaired:
        """Sends one letter round again with another input. Raises ContractBroken or NotEditable, and then it lies there still."""

        async def act(letter: DeadLetter) -> bool | None:
            return await self._send_back(letter, edited(letter, payload, self._pipelines))

        return await self._repair(Selection(queue=queue, ids=frozenset({letter_id})), 1, act)

    async def discard(self, selection: Selection, *, limit: int) -> Repaired:
        """Forgets at most `limit` of the letters that are meant, oldest first."""

        async def act(_: DeadLetter) -> bool:
            return True

        return await self._repair(selection, limit, act)

    async def _repair(
        self, selection: Selection, limit: int, act: Callable[[DeadLetter], Awaitable[bool | None]]
    ) -> Repaired:
        total = Repaired()
        for name in self._meant(selection):
            async with self._holding(name) as (letters, beyond):
                meant = [each for each in letters if matches(each[0], selection)]
                total += Repaired(matched=len(meant), unseen=beyond)
                for letter, delivery in meant[: limit - total.done - total.stale]:
                    if (went := await act(letter)) is None:
                        continue
                    # Not before: until here the letter is all that is left of its job.
                    delivery.acknowledge()
                    total += Repaired(done=went, stale=not went)
        return total

    async def _send_back(self, letter: DeadLetter, job: Job | None) -> bool | None:
        """False when there is nothing to send, because the job has gone on since it died; None while a worker has it."""
        if job is None or not letter.believed:
            await self._queue.publish(letter.queue, without_story(letter.message))
            return True
        anew = await self._store.redrive(job)
        if isinstance(anew, str):
            return None if anew == "busy" else False
        await self._queue.publish(letter.queue, signed_message(anew, self._keyring))
        await self._store.redriven(anew)
        return True

    def _meant(self, selection: Selection) -> Sequence[str]:
        return [name for name in self._looks if selection.queue in (None, name)]

    @asynccontextmanager
    async def _holding(self, name: str) -> AsyncIterator[tuple[Found, int]]:
        async with self._looks[name].lock:
            try:
                async with hold(self._queue, name, MOST_HELD) as held:
                    letters = [(read_letter(it.message, name, self._keyring), it) for it in held.deliveries]
                    yield sorted(letters, key=lambda each: age(each[0])), held.beyond
            finally:
                self._looks[name].forget()
