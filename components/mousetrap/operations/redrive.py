"""Redrives the letters of an operation."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import groupby
from typing import Any

from mousetrap.dead_letters import DeadLetter, DeadLetters, Selection
from mousetrap.jobs import RecordDamaged
from mousetrap.operations.fate import Fate, Finding
from mousetrap.operations.record import Plan, Target
from mousetrap.run_store import RunStore

_BUSY = "a worker has its job now: redrive it once that has ended"
_GONE = "it is not among the dead letters any more: it was redriven or discarded meanwhile"


class RedriveLetters:
    """A letter is redriven once for each generation of its job, however often that is asked for."""

    #: While one process holds a queue's letters, they are out of sight of all others; in one process, operations take turns.
    has_one_carrier = True

    def __init__(self, dead_letters: DeadLetters, store: RunStore) -> None:
        self._dead_letters = dead_letters
        self._store = store

    async def find(self, plan: Plan, after: str) -> Finding:
        """Those of the filter, all at once: queue by queue, and oldest first."""
        selection = Selection(**{**plan.filter, "ids": frozenset(plan.filter.get("ids", ()))})
        looked = await self._dead_letters.look(selection, fresh=True)
        # Copies of one letter are one target.
        found = dict.fromkeys(_target(letter) for letter in sorted(looked.letters, key=lambda it: it.queue))
        return Finding([*found], unseen=looked.unseen)

    async def act(
        self, operation_id: str, plan: Plan, targets: Sequence[tuple[Target, bool]]
    ) -> AsyncGenerator[Fate, None]:
        """Holds the letters of one queue at a time."""
        for queue, group in groupby(targets, key=lambda each: each[0].queue):
            some = list(group)
            wanted = [(target.id, target.generation) for target, _ in some]
            async with aclosing(self._dead_letters.redrive_each(queue, wanted)) as results:
                for target, repeated in some:
                    yield await self._fate(target, repeated, await anext(results))

    async def _fate(self, target: Target, repeated: bool, result: Any) -> Fate:
        if isinstance(result, RecordDamaged):
            return Fate("failed", result.outside())
        if result == "busy":
            return Fate("again", _BUSY)
        if result == "stale" and repeated:
            # Its carrier ended between the publish and the end of the letter.
            return Fate("done", run_id=target.run_id)
        if result != "gone":
            return Fate("done", run_id=target.run_id) if result == "done" else Fate("stale")
        if target.run_id and await self._store.generation(target.run_id, target.id) > target.generation:
            return Fate("done", run_id=target.run_id)
        return Fate("again", _GONE)


def _target(letter: DeadLetter) -> Target:
    run_id = letter.run_id if letter.believed and letter.run_id else ""
    return Target(letter.id, queue=letter.queue, generation=letter.generation, run_id=run_id)
