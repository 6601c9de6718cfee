"""Decides which ticks fire, and what becomes of the others."""

from collections.abc import Sequence
from datetime import timedelta

from msgspec.structs import replace

from mousetrap.schedules.record import MOST_PAST, Became, Owed, Past, Record
from mousetrap.schedules.ticks import fires_at, newest_ticks, next_tick, run_id_of_tick

#: A tick that fires within this time is on time: a scheduler that is restarted is back by then.
ON_TIME_MS = 60_000
#: Between two looks at a tick that waits for the run before it to end.
_LOOK_MS = 1_000
#: A schedule is looked at once a day at least: the rules of its zone may have changed since its next tick was found.
_LONGEST_LOOK_MS = 86_400_000
#: What was decided for longer ahead than this, by a clock that leapt and was set back, is decided again; of less, each tick is decided.
_LONGEST_AHEAD_MS = 86_400_000
#: Missed ticks are counted up to this number.
_MOST_COUNTED = 100
_MS = timedelta(milliseconds=1)


def decide(record: Record, now_ms: int, *, busy: bool) -> Record:
    """The record once all ticks up to now are decided: those that fire are owed. `busy`: its last run has not ended.

    Nothing is decided while earlier ticks are owed, or where it is paused: what comes due meanwhile is late, or missed.
    """
    if record.pause or any(owed.cause == "tick" for owed in record.owed):
        return record
    if _is_far_ahead(record, now_ms):
        record = replace(record, decided_ms=now_ms)
    if not (ready := _ready(record, now_ms)):
        return _with_waiting(record, now_ms, busy)
    wanted = _wanted(record, ready, now_ms)
    missed = [tick for tick in ready if tick not in wanted]
    decided = replace(record, decided_ms=ready[-1])
    if missed:
        decided = _noted(decided, missed[-1], "missed", now_ms, count=len(missed))
    return _overlapping(decided, wanted, now_ms, busy) if wanted else _with_waiting(decided, now_ms, busy)


def looks_at(record: Record, now_ms: int) -> int | None:
    """When there is something to do for it next; None for never."""
    if record.owed:
        return now_ms
    if record.pause:
        return None
    if _is_far_ahead(record, now_ms):
        return now_ms
    tick = next_tick(record.schedule, record.decided_ms)
    due = [fires_at(record.schedule, tick)] if tick is not None else []
    if record.waiting_ms is not None:
        due.append(now_ms + _LOOK_MS)
    return min(*due, now_ms + _LONGEST_LOOK_MS) if due else None


def needs_to_know(record: Record) -> str:
    """The run that decides whether the schedule is busy; empty where its policy does not ask."""
    return "" if record.schedule.overlap == "allow" or record.pause else record.last_run


def settled(record: Record, past: Sequence[Past]) -> Record:
    """The record once these owed runs are submitted, or refused for good."""
    ids = {each.run_id for each in past}
    open_ids = {owed.run_id for owed in record.owed}
    news = [each for each in past if each.run_id in open_ids]
    fired = [each.run_id for each in news if each.became == "fired" and each.cause == "tick"]
    return replace(
        record,
        owed=tuple(owed for owed in record.owed if owed.run_id not in ids),
        last_run=fired[-1] if fired else record.last_run,
        past=(*reversed(news), *record.past)[:MOST_PAST],
        waits="",
    )


def _is_far_ahead(record: Record, now_ms: int) -> bool:
    return record.decided_ms > now_ms + _LONGEST_AHEAD_MS


def _ready(record: Record, now_ms: int) -> list[int]:
    """The newest undecided ticks that fire by now."""
    schedule = record.schedule
    most = _MOST_COUNTED + (schedule.most if schedule.missed == "all" else 0)
    ticks = newest_ticks(schedule, record.decided_ms, now_ms, most)
    while ticks and fires_at(schedule, ticks[-1]) > now_ms:
        ticks.pop()
    return ticks


def _wanted(record: Record, ready: Sequence[int], now_ms: int) -> list[int]:
    """Those that fire, in their order."""
    schedule, newest = record.schedule, ready[-1]
    on_time = now_ms - fires_at(schedule, newest) <= ON_TIME_MS
    since_ms = now_ms - schedule.catch_up // _MS
    kept = [tick for tick in ready if tick >= since_ms or (tick == newest and on_time)]
    if schedule.missed == "all":
        return kept[-schedule.most :]
    return kept[-1:] if on_time or schedule.missed == "once" else []


def _overlapping(record: Record, wanted: Sequence[int], now_ms: int, busy: bool) -> Record:
    """With the wanted ticks owed, or what else the policy has for them while a run goes on."""
    newest = wanted[-1]
    if record.waiting_ms is not None:
        record = replace(
            _noted(record, record.waiting_ms, "skipped", now_ms, why="a newer tick came"), waiting_ms=None
        )
    if not busy or record.schedule.overlap == "allow":
        return _owing(record, wanted)
    if record.schedule.overlap == "cancel_running":
        return _owing(record, wanted, cancels=record.last_run)
    if record.schedule.overlap == "queue_one":
        return replace(record, waiting_ms=newest)
    return _noted(record, newest, "skipped", now_ms, why=f"run {record.last_run} had not ended")


def _with_waiting(record: Record, now_ms: int, busy: bool) -> Record:
    """With the tick owed that waited for a run which has ended, unless it is too old by now."""
    tick = record.waiting_ms
    if tick is None:
        return record
    if tick < now_ms - max(record.schedule.catch_up // _MS, ON_TIME_MS):
        return replace(_noted(record, tick, "missed", now_ms, why="it waited too long"), waiting_ms=None)
    return record if busy else replace(_owing(record, [tick]), waiting_ms=None)


def _owing(record: Record, ticks: Sequence[int], cancels: str = "") -> Record:
    owed = (
        Owed(tick_ms=tick, run_id=run_id_of_tick(record.schedule, record.created_ms, tick), cancels=cancels)
        for tick in ticks
    )
    return replace(record, owed=(*record.owed, *owed))


def _noted(
    record: Record, tick_ms: int, became: Became, now_ms: int, *, count: int = 1, why: str = ""
) -> Record:
    past = Past(tick_ms=tick_ms, became=became, at_ms=now_ms, count=count, why=why)
    return replace(record, past=(past, *record.past)[:MOST_PAST])
