"""Finds, redrives and discards dead letters."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import UNSET, UnsetType

from mousetrap.dead_letters.edit import edited
from mousetrap.dead_letters.letter import DeadLetter, without_story
from mousetrap.dead_letters.selection import Selection, matches
from mousetrap.dead_letters.shared_look import Found, Holding, Seen, SharedLook, age
from mousetrap.jobs import (
    LARGEST_INLINE,
    Delivery,
    Job,
    Queue,
    RecordDamaged,
    Unroutable,
    dead_queue,
    signed_message,
)
from mousetrap.pipeline import Payload, Pipeline
from mousetrap.run_store import RunStore
from mousetrap.shutdown import end_tasks
from mousetrap.signing import Keyring

#: Letters of one queue in one look; so many are held, and read, at once.
MAX_HELD = 10_000
#: Queues that are looked at at a time: on RabbitMQ a look opens three channels.
_AT_A_TIME = 8

#: What became of one letter that was to be redriven.
Fate = Literal["done", "stale", "busy", "gone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The result of a look."""

    #: The selected letters, oldest first.
    letters: tuple[DeadLetter, ...]
    #: How many letters were looked at, and how many more there are.
    seen: int
    unseen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """The result of redriving or discarding the selected letters."""

    matched: int = 0
    #: Redriven or discarded.
    done: int = 0
    #: Dropped, because their job has gone on without them.
    stale: int = 0
    #: Letters not looked at, because too many are there at once.
    unseen: int = 0

    @property
    def left(self) -> int:
        """Selected letters that are still there."""
        return self.matched - self.done - self.stale

    def __add__(self, other: "Repaired") -> "Repaired":
        return Repaired(
            matched=self.matched + other.matched,
            done=self.done + other.done,
            stale=self.stale + other.stale,
            unseen=self.unseen + other.unseen,
        )


class DeadLetters:
    """The dead letters of `queues`. Every method raises what the queue and the store raise; repeating it is safe."""

    def __init__(
        self,
        queue: Queue,
        store: RunStore,
        keyring: Keyring,
        pipelines: Mapping[str, Pipeline],
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._queue = queue
        self._store = store
        self._keyring = keyring
        self._pipelines = pipelines
        self._now = now
        self._sleep = sleep
        #: Letters that this process has sent round again, by queue.
        self.redriven = Counter[str]()
        self._looks = {name: SharedLook(queue, name, keyring) for name in self.queues}
        #: Those that our process declares. Others are known from workers, and the broker may not have them yet, or any more.
        self._declared = frozenset(self._looks)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues whose dead letters these are."""
        return tuple(sorted({stage.queue for it in self._pipelines.values() for stage in it.stages}))

    async def queues_of(self, selection: Selection) -> Sequence[str]:
        """The queue of the selection, else all: of those that other processes declare, the ones that the broker has."""
        names = [name for name in self.queues if selection.queue in (None, name)]
        if selection.queue or self._declared.issuperset(names):
            return names
        there = await self._queue.backlogs(map(dead_queue, names))
        return [it for it in names if it in self._declared or dead_queue(it) in there]

    async def look(self, selection: Selection, *, stale: float = 0.0, fresh: bool = False) -> Looked:
        """The selected letters; all of them stay.

        Concurrent calls share a look; one of the last `stale` seconds is reused even if the queue has changed since, and with `fresh`
        none is: where there are many letters a shared one can be some seconds old.
        """
        names = [name for name in self.queues if selection.queue in (None, name)]
        known = {} if fresh else self._recent(names, stale)
        known |= await self._found_empty([name for name in names if name not in known])
        at_a_time = asyncio.Semaphore(_AT_A_TIME)
        looks = [
            asyncio.ensure_future(self._seen(name, selection, stale, fresh, at_a_time))
            for name in names
            if name not in known
        ]
        try:
            looked = [each for each in await asyncio.gather(*looks) if each is not None]
        finally:
            await end_tasks(*looks)
        seen = [*known.values(), *looked]
        found = [letter for each in seen for letter in each.letters if matches(letter, selection)]
        return Looked(
            letters=tuple(sorted(found, key=age)),
            seen=sum(len(each.letters) for each in seen),
            unseen=sum(each.beyond for each in seen),
        )

    def _recent(self, names: Iterable[str], stale: float) -> dict[str, Seen]:
        """The looks that are reused without asking the broker."""
        found = {name: self._look_at(name).recent(stale) for name in names}
        return {name: seen for name, seen in found.items() if seen is not None}

    async def _found_empty(self, names: Sequence[str]) -> Mapping[str, Seen]:
        """The queues that hold nothing, which are asked for together: of two hundred most are empty, and a look at each takes six requests.

        While we hold letters of a queue ourselves, it only seems to be empty.
        """
        before = {name: self._look_at(name).undisturbed for name in names}
        backlogs = await self._queue.backlogs(map(dead_queue, names))
        counts = {name: backlogs[dead_queue(name)].ready for name in names if dead_queue(name) in backlogs}
        return {
            name: self._look_at(name).found_nothing()
            for name, count in counts.items()
            if count == 0 and before[name] is not None and before[name] == self._look_at(name).undisturbed
        }

    async def _seen(
        self, name: str, selection: Selection, stale: float, fresh: bool, at_a_time: asyncio.Semaphore
    ) -> Seen | None:
        """A look at one queue; None where another process is to declare it, and the broker does not have it."""
        async with at_a_time:
            try:
                return await self._look_at(name).look(MAX_HELD, stale=stale, fresh=fresh)
            except Unroutable:
                if selection.queue or name in self._declared:
                    raise
                return None

    async def find(self, queue: str, letter_id: str) -> DeadLetter | None:
        """One letter; None when it is not, or no longer, there."""
        looked = await self.look(Selection(queue=queue, ids=frozenset({letter_id})))
        return looked.letters[0] if looked.letters else None

    async def payload_of(self, letter: DeadLetter, *, most: int = LARGEST_INLINE) -> Payload | None:
        """The input of a letter that is ours, wherever it is; None for another letter, and for an input of more than `most` bytes.

        Raises PayloadUnusable.
        """
        job = letter.job if letter.believed else None
        if job is None or (not isinstance(job.reference, UnsetType) and job.reference.size > most):
            return None
        return (await self._store.payloads.resolved(job)).written

    async def redrive(self, selection: Selection, *, rate: float, limit: int) -> Repaired:
        """Redrives at most `limit` of the selected letters, oldest first and at most `rate` a second.

        A letter leaves only once the broker has confirmed it in the queue that gave it up.
        """

        due = 0.0

        async def act(letter: DeadLetter) -> bool | None:
            nonlocal due
            await self._sleep(max(0.0, due - self._now()))
            due = self._now() + 1 / rate
            return await self._redrive(letter, letter.job)

        return await self._repair(selection, limit, act)

    async def redrive_each(
        self, queue: str, wanted: Sequence[tuple[str, int]]
    ) -> AsyncGenerator[Fate | RecordDamaged, None]:
        """Redrives letters of one queue by id and generation, in this order: the next one when its result is asked for.

        `gone`: it is not there, or another process looks at it just now. `busy`: a worker has the job.
        """
        async with self._look_at(queue).repair(MAX_HELD) as holding:
            copies: dict[tuple[str, int], Found] = {}
            for letter, delivery in holding.found:
                copies.setdefault((letter.id, letter.generation), []).append((letter, delivery))
            for each in wanted:
                yield await self._redrive_copies(copies.get(each, ()), holding)

    async def _redrive_copies(
        self, copies: Sequence[tuple[DeadLetter, Delivery]], holding: Holding
    ) -> Fate | RecordDamaged:
        """What became of a letter, which may be there twice: then the second copy is stale."""
        fate: Fate = "gone"
        for letter, delivery in copies:
            try:
                redriven = await self._redrive(letter, letter.job)
            except RecordDamaged as error:
                return error
            if redriven is None:
                return "busy"
            # Not before: until here the letter is the only copy of its job.
            holding.settle(delivery)
            fate = "done" if redriven or fate == "done" else "stale"
        return fate

    async def redrive_edited(self, queue: str, letter_id: str, payload: bytes) -> Repaired:
        """Redrives one letter with another input. Raises ContractBroken or NotEditable; then the letter stays."""

        async def act(letter: DeadLetter) -> bool | None:
            job = edited(letter, payload, self._pipelines)
            reference = await self._store.payloads.put_large(job.run_id, bytes(job.payload))
            return await self._redrive(letter, job if reference is UNSET else job.referring(reference))

        return await self._repair(Selection(queue=queue, ids=frozenset({letter_id})), 1, act)

    async def discard(self, selection: Selection, *, limit: int) -> Repaired:
        """Removes at most `limit` of the selected letters, oldest first."""

        async def act(_: DeadLetter) -> bool:
            return True

        return await self._repair(selection, limit, act)

    async def _repair(
        self, selection: Selection, limit: int, act: Callable[[DeadLetter], Awaitable[bool | None]]
    ) -> Repaired:
        total = Repaired()
        names = await self.queues_of(selection)
        empty = await self._found_empty(names)
        for name in names:
            if name in empty:
                continue
            async with self._look_at(name).repair(MAX_HELD) as holding:
                selected = [each for each in holding.found if matches(each[0], selection)]
                total += Repaired(matched=len(selected), unseen=holding.beyond)
                for letter, delivery in selected[: limit - total.done - total.stale]:
                    if (acted := await act(letter)) is None:
                        continue
                    # Not before: until here the letter is the only copy of its job.
                    holding.settle(delivery)
                    total += Repaired(done=acted, stale=not acted)
        return total

    async def _redrive(self, letter: DeadLetter, job: Job | None) -> bool | None:
        """As `_sent_again`, and counts it."""
        if redriven := await self._sent_again(letter, job):
            self.redriven[letter.queue] += 1
        return redriven

    async def _sent_again(self, letter: DeadLetter, job: Job | None) -> bool | None:
        """False when the letter is stale, because the job has gone on since; None while a worker has the job."""
        if job is None or not letter.believed:
            await self._queue.publish(letter.queue, without_story(letter.message))
            return True
        redriven = await self._store.redrive(job)
        if redriven == "stale" and letter.reason == "unknown-stage":
            # Its outcome may be on record, for a stage that its worker did not have: one that has it goes on from there. If the
            # job has gone on since, the message comes to nothing.
            await self._queue.publish(letter.queue, signed_message(job, self._keyring))
            return True
        if isinstance(redriven, str):
            return None if redriven == "busy" else False
        await self._queue.publish(letter.queue, signed_message(redriven, self._keyring))
        await self._store.mark_redriven(redriven)
        return True

    def _look_at(self, name: str) -> SharedLook:
        return self._looks.setdefault(name, SharedLook(self._queue, name, self._keyring))
