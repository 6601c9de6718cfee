"""Shows what is kept of a schedule."""

from datetime import UTC, datetime
from itertools import islice

from mousetrap import shapes
from mousetrap.schedules import Record, fires_at, in_zone, next_tick, ticks_after, words

#: Ticks that are shown ahead.
_AHEAD = 5
#: A tick is overdue that is later than that.
OVERDUE_MS = 10_000
_START = datetime(1970, 1, 1, tzinfo=UTC)


def shown_schedule(record: Record, now_ms: int) -> shapes.Schedule:
    """A schedule as it is shown."""
    it = record.schedule
    anchor_ms = round((it.anchor - _START).total_seconds() * 1000)
    ahead = () if record.pause else tuple(islice(ticks_after(it, max(now_ms, record.decided_ms)), _AHEAD))
    pause = record.pause
    return shapes.Schedule(
        name=it.name,
        pipeline=it.pipeline,
        cron=it.cron,
        tz=it.tz,
        every=it.every.total_seconds() if it.every else None,
        anchor_ms=anchor_ms if it.every else None,
        words=words(it),
        input=it.input,
        tick_as=it.tick_as,
        missed=it.missed,
        most=it.most,
        catch_up=it.catch_up.total_seconds(),
        overlap=it.overlap,
        jitter=it.jitter.total_seconds(),
        expires_after=it.expires_after.total_seconds() if it.expires_after else None,
        tags=it.tags,
        priority=it.priority,
        origin=record.origin,
        created_ms=record.created_ms,
        changed_ms=record.changed_ms,
        changed_by=record.changed_by,
        next=tuple(shapes.Tick(at_ms=tick, local=in_zone(it, tick)) for tick in ahead),
        past=_shown_past(record),
        last_run=record.last_run or None,
        owed=len(record.owed),
        waiting_ms=record.waiting_ms,
        overdue=_is_overdue(record, now_ms),
        waits=record.waits,
        paused=shapes.SchedulePause(who=pause.who, at_ms=pause.at_ms, why=pause.why, orphaned=pause.orphaned)
        if pause
        else None,
    )


def _shown_past(record: Record) -> tuple[shapes.PastTick, ...]:
    return tuple(
        shapes.PastTick(
            at_ms=past.tick_ms,
            became=past.became,
            cause=past.cause,
            decided_ms=past.at_ms,
            run_id=past.run_id or None,
            count=past.count,
            why=past.why,
        )
        for past in record.past
    )


def _is_overdue(record: Record, now_ms: int) -> bool:
    late = [owed.tick_ms for owed in record.owed if owed.cause == "tick"]
    if not record.pause and (tick := next_tick(record.schedule, record.decided_ms)) is not None:
        late.append(fires_at(record.schedule, tick))
    return any(tick < now_ms - OVERDUE_MS for tick in late)
