"""Fires the ticks of schedules, on any process beside others."""

from mousetrap.scheduler.scheduler import Scheduler, input_at
from mousetrap.scheduler.store import (
    MOST_SCHEDULES,
    Schedules,
    ScheduleTaken,
    TooManySchedules,
    open_schedules,
)

__all__ = [
    "MOST_SCHEDULES",
    "ScheduleTaken",
    "Scheduler",
    "Schedules",
    "TooManySchedules",
    "input_at",
    "open_schedules",
]
