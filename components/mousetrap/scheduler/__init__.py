"""Fires the ticks of schedules, on any process beside others."""

from mousetrap.scheduler.scheduler import Published, Scheduler
from mousetrap.scheduler.store import (
    MOST_SCHEDULES,
    Schedules,
    ScheduleTaken,
    TooManySchedules,
    open_schedules,
)

__all__ = [
    "MOST_SCHEDULES",
    "Published",
    "ScheduleTaken",
    "Scheduler",
    "Schedules",
    "TooManySchedules",
    "open_schedules",
]
