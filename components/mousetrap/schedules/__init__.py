"""Judges when a schedule fires, and what becomes of missed ticks."""

from mousetrap.schedules.change import (
    Change,
    TooManyOwed,
    backfilled,
    created,
    declared,
    edited,
    may_declare,
    orphaned,
    paused,
    resumed,
    run_now,
)
from mousetrap.schedules.decide import ON_TIME_MS, decide, looks_at, needs_to_know, settled
from mousetrap.schedules.inputs import input_at
from mousetrap.schedules.record import MOST_OWED, MOST_PAST, Origin, Owed, Past, Pause, Record
from mousetrap.schedules.schedule import MOST_MADE_UP, Missed, Overlap, Schedule, ScheduleWrong
from mousetrap.schedules.ticks import (
    fires_at,
    in_zone,
    newest_ticks,
    next_tick,
    run_id_of_tick,
    ticks_after,
    ticks_between,
    words,
)

__all__ = [
    "MOST_MADE_UP",
    "MOST_OWED",
    "MOST_PAST",
    "ON_TIME_MS",
    "Change",
    "Missed",
    "Origin",
    "Overlap",
    "Owed",
    "Past",
    "Pause",
    "Record",
    "Schedule",
    "ScheduleWrong",
    "TooManyOwed",
    "backfilled",
    "created",
    "decide",
    "declared",
    "edited",
    "fires_at",
    "in_zone",
    "input_at",
    "looks_at",
    "may_declare",
    "needs_to_know",
    "newest_ticks",
    "next_tick",
    "orphaned",
    "paused",
    "resumed",
    "run_id_of_tick",
    "run_now",
    "settled",
    "ticks_after",
    "ticks_between",
    "words",
]
