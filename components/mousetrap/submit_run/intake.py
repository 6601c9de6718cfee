"""Refuses new runs before store or dead queues are full."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from mousetrap.jobs import MousetrapError, StoreFull, dead_queue
from mousetrap.pipeline import Pipeline
from mousetrap.run_store import RunStore

#: The share of the store's memory from which on no run is accepted, so that those accepted can end; and of any bound,
#: the share from which on the log warns.
STORE_SHARE, WARN_SHARE = 0.8, 0.6
#: Bytes that a run takes beside its input, and copies of the input: one in the store, one more on the embedded queue.
_RUN_BYTES, _COPIES = 4_096, 2

_log = logging.getLogger("mousetrap.submit_run")


class DeadLettersFull(MousetrapError):
    """As many dead letters are in a queue as the settings allow: redrive or discard some."""


class CountsMessages(Protocol):
    """What counts the messages of a queue."""

    async def count_ready(self, queue: str) -> int:
        """As `Queue.count_ready` does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeBounds:
    """What new runs may lead to."""

    #: Dead letters of one queue; 0 for any number.
    dead_letters: int


class Intake:
    """Checks each new run against the last measurement, which takes no round trip."""

    def __init__(
        self,
        queue: CountsMessages,
        store: RunStore,
        pipelines: Mapping[str, Pipeline],
        bounds: IntakeBounds,
    ) -> None:
        self._queue = queue
        self._store = store
        self._bounds = bounds
        #: It can grow: the queues are those of now.
        self._pipelines = pipelines
        #: Dead letters by queue, as far as they are known.
        self._dead: dict[str, int] = {}
        #: Bytes that the store may still take for new runs; None for any number.
        self._room: int | None = None
        self._warned: frozenset[str] = frozenset()

    async def measure(self) -> None:
        """Counts what is bounded, and warns before a bound is reached; the last count of an absent server stays."""
        if self._bounds.dead_letters:
            for queue in sorted({stage.queue for it in self._pipelines.values() for stage in it.stages}):
                with suppress(MousetrapError):
                    self._dead[queue] = await self._queue.count_ready(dead_queue(queue))
        share = 0.0
        with suppress(MousetrapError):
            facts = await self._store.info()
            self._room = None
            if facts.max_bytes and facts.used_bytes is not None:
                self._room = int(facts.max_bytes * STORE_SHARE) - facts.used_bytes
                share = facts.used_bytes / facts.max_bytes
        self._warn(share)

    def check(self, pipeline: Pipeline, size: int) -> None:
        """Returns if a run with `size` bytes of input may be accepted. Raises DeadLettersFull or StoreFull."""
        if most := self._bounds.dead_letters:
            full = [stage.queue for stage in pipeline.stages if self._dead.get(stage.queue, 0) >= most]
            if full:
                raise DeadLettersFull(
                    f"{self._dead[full[0]]} dead letters are in {full[0]}, and MOUSETRAP_DEAD_MAX_LENGTH allows {most}: "
                    "redrive or discard some (`mousetrap dead groups` shows why they died), then repeat this"
                )
        if self._room is not None:
            cost = _COPIES * size + _RUN_BYTES
            if cost > self._room:
                raise StoreFull(
                    f"the store holds {STORE_SHARE:.0%} of what its maxmemory allows, and keeps the rest for the runs that "
                    "it has: repeat this later; give it more memory, or remember runs for a shorter time "
                    "(MOUSETRAP_RETENTION_SECONDS)"
                )
            self._room -= cost

    def _warn(self, store_share: float) -> None:
        """Warns once that a bound is near, and again only after it was far in between."""
        near = {
            f"{count} dead letters are in {queue}: from {self._bounds.dead_letters} on (MOUSETRAP_DEAD_MAX_LENGTH) "
            "no run of its pipeline is accepted": queue
            for queue, count in self._dead.items()
            if count >= WARN_SHARE * self._bounds.dead_letters
        }
        if store_share >= WARN_SHARE:
            near[f"the store is {store_share:.0%} full: from {STORE_SHARE:.0%} on no run is accepted"] = (
                "store"
            )
        for text, what in near.items():
            if what not in self._warned:
                _log.warning(text)
        self._warned = frozenset(near.values())
