"""Keeps the items and the outputs of fan-outs in memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from mousetrap.handlers import AttemptInfo, FanRefused
from mousetrap.pipeline import MemoryPages, Payload


@dataclass(slots=True)
class MemoryChildren:
    """The items of one attempt, as in the protocol Children."""

    items: list[tuple[Payload, str | None]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    async def add(self, item: Payload, key: str | None) -> None:
        if key is not None and key in self.keys:
            raise FanRefused(
                "contract", f"item {len(self.items)} has the key {key!r}, which an item before it has"
            )
        self.keys |= {key} if key is not None else set()
        self.items.append((item, key))

    async def close(self) -> int:
        return len(self.items)


class MemoryFans:
    """What the jobs of runs in memory have opened, by the job's id."""

    def __init__(self) -> None:
        self._children: dict[str, MemoryChildren] = {}
        self._outputs: dict[str, Sequence[tuple[int, bytes]]] = {}

    def children(self, attempt: AttemptInfo) -> MemoryChildren:
        """Those of this attempt; an earlier one's are dropped."""
        self._children[attempt.job_id] = MemoryChildren()
        return self._children[attempt.job_id]

    def items(self, job_id: str) -> list[tuple[Payload, str | None]]:
        """What the last attempt at the job has given, each item with its key."""
        return self._children[job_id].items

    def keep(self, job_id: str, outputs: Sequence[tuple[int, bytes]]) -> None:
        """Keeps the outputs of what the job has opened."""
        self._outputs[job_id] = outputs

    def pages(self, run_id: str, job_id: str) -> MemoryPages | None:
        """The outputs, as a worker has them: an async handler must not wait for them in its event loop."""
        outputs = self._outputs.get(job_id)
        return None if outputs is None else MemoryPages(outputs, asyncio.get_running_loop())
