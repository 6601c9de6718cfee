"""Names the points of a scheduler, and wraps its store."""

from enum import StrEnum
from typing import Any

from chaos.points import Trap
from mousetrap.scheduler import Schedules
from mousetrap.schedules import Record


class SchedulePoint(StrEnum):
    """From a tick that is due to a record without it, in this order; those in the middle are the submission's, as of an outbox."""

    DUE_READ = "due_read"
    DECIDE_SENT = "decide_sent"
    DECIDED = "decided"
    RECORDED = "recorded"
    PUBLISH_SENT = "publish_sent"
    PUBLISHED = "published"
    SETTLE_SENT = "settle_sent"
    SETTLED = "settled"


class PointedSchedules(Schedules):
    """The schedules that it is given, in all but the points."""

    def __init__(self, inner: Schedules, trap: Trap) -> None:
        self.__dict__.update(inner.__dict__)
        self._trap = trap

    async def due(self, most: int) -> Any:
        due = await super().due(most)
        if due.records:
            self._trap.passing(SchedulePoint.DUE_READ)
        return due

    async def swap(self, seen: Record | None, record: Record, look_ms: int | None) -> Record | None:
        settles = seen is not None and len(record.owed) < len(seen.owed)
        self._trap.passing(SchedulePoint.SETTLE_SENT if settles else SchedulePoint.DECIDE_SENT)
        kept = await super().swap(seen, record, look_ms)
        if kept is not None:
            self._trap.passing(SchedulePoint.SETTLED if settles else SchedulePoint.DECIDED)
        return kept
