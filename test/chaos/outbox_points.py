"""Names the points of an outbox's relay, and wraps what it uses."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, event

from chaos.points import Trap
from mousetrap.jobs import Message, Publishes
from mousetrap.outbox import Passed, Refusal, Rows, Status, Taken
from mousetrap.run_store import Opened, RunStore


class OutboxPoint(StrEnum):
    """From a committed row to a run without a row, in this order."""

    TAKEN = "taken"
    RECORDED = "recorded"
    PUBLISH_SENT = "publish_sent"
    PUBLISHED = "published"
    SETTLE_BEGUN = "settle_begun"
    DELETED = "deleted"
    SETTLED = "settled"


class PointedPublisher:
    """As in the protocol Publishes."""

    def __init__(self, inner: Publishes, trap: Trap) -> None:
        self._inner = inner
        self._trap = trap

    async def publish(self, queue: str, message: Message, *, after: float = 0.0) -> None:
        self._trap.passing(OutboxPoint.PUBLISH_SENT)
        await self._inner.publish(queue, message, after=after)
        self._trap.passing(OutboxPoint.PUBLISHED)


class PointedStore(RunStore):
    """The store that it is given, in all but the point."""

    def __init__(self, inner: RunStore, trap: Trap) -> None:
        self.__dict__.update(inner.__dict__)
        self._trap = trap

    async def open_run(self, run_id: str, *arguments: Any, **options: Any) -> Opened:
        opened = await super().open_run(run_id, *arguments, **options)
        self._trap.passing(OutboxPoint.RECORDED)
        return opened


class PointedRows:
    """As in the protocol TakesRows; `engine` is of all connections that the rows use."""

    def __init__(self, inner: Rows, engine: Engine, trap: Trap) -> None:
        self._inner = inner
        self._trap = trap
        event.listen(engine, "commit", lambda _: trap.passing(OutboxPoint.DELETED))

    def take(self, most: int, passed: Passed) -> Taken | None:
        taken = self._inner.take(most, passed)
        if taken and taken.rows:
            self._trap.passing(OutboxPoint.TAKEN)
        return taken

    def settle(self, taken: Taken, accepted: Sequence[int], refused: Sequence[Refusal], now_ms: int) -> None:
        self._trap.passing(OutboxPoint.SETTLE_BEGUN)
        self._inner.settle(taken, accepted, refused, now_ms)
        self._trap.passing(OutboxPoint.SETTLED)

    def status(self) -> Status:
        return self._inner.status()
