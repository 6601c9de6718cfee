"""Keeps a rate, and counts what became of targets."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from mousetrap.operations.fate import Fate
from mousetrap.operations.record import Target, Tried
from mousetrap.operations.store import Operations
from mousetrap.shapes import OperationFailure

#: The counts are recorded after so many milliseconds, or so many targets.
_RECORD_MS, _RECORD = 1_000, 100
#: How often a target is tried that could not be tried just now.
_TRIES = 30
#: Characters of a reason.
_MAX_CHARACTERS = 300


class Counts:
    """What became of the targets of a step, recorded as it goes on."""

    def __init__(
        self, operations: Operations, operation_id: str, cursor: int, now_ms: Callable[[], int]
    ) -> None:
        #: That of the operation, as last recorded; `moved` where another carrier has counted the same targets.
        self.state = "running"
        #: Whether no target after the last one is tried in this step.
        self.is_broken = False
        self._operations = operations
        self._operation_id = operation_id
        self._cursor = cursor
        self._now_ms = now_ms
        self._tried = Tried()
        self._since_ms = now_ms()

    @property
    def due(self) -> bool:
        """Whether it is time to record."""
        return self._tried.count >= _RECORD or abs(self._now_ms() - self._since_ms) >= _RECORD_MS

    def add(self, target: Target, fate: Fate) -> None:
        """Counts one target."""
        tried = self._tried
        tried.count += 1
        self.is_broken = fate.ends
        if fate.kind == "again" and target.tries < _TRIES:
            tried.again.append(msgspec.structs.replace(target, tries=target.tries + 1))
        elif fate.kind == "done":
            tried.done += 1
            tried.runs += [fate.run_id] if fate.run_id else []
        elif fate.kind == "stale":
            tried.stale += 1
        else:
            tried.failed += 1
            tried.failures.append(OperationFailure(target=target.id, error=fate.why[:_MAX_CHARACTERS]))

    async def record(self) -> str:
        """Records what was counted since, and gives the operation's state."""
        tried, self._tried, self._since_ms = self._tried, Tried(), self._now_ms()
        self.state = await self._operations.advance(self._operation_id, self._cursor, tried, self._since_ms)
        self._cursor += tried.count
        return self.state


class Pace:
    """Keeps a rate: the next target is due so long after the one before it."""

    def __init__(self, rate: float, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._every_s = 1 / rate
        self._sleep = sleep
        self._due = 0.0

    def left_s(self) -> float:
        """Seconds until the next one is due."""
        return self._due - asyncio.get_running_loop().time()

    async def wait(self) -> None:
        """Returns when the next one is due."""
        if (left_s := self.left_s()) > 0:
            await self._sleep(left_s)
        self._due = max(self._due, asyncio.get_running_loop().time()) + self._every_s
