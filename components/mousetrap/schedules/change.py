"""Changes a schedule: declared, edited, paused, resumed, asked for runs."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from mousetrap.schedules.record import MOST_OWED, Origin, Owed, Pause, Record
from mousetrap.schedules.schedule import Schedule
from mousetrap.schedules.ticks import run_id_of_tick, ticks_between


class Change(NamedTuple):
    """Who changes something, when and why."""

    who: str
    now_ms: int
    why: str = ""


class TooManyOwed(ValueError):
    """More runs are asked for than a schedule may owe; the text has the fix."""


def created(schedule: Schedule, origin: Origin, by: Change) -> Record:
    """A new record. Its first tick is after now: nothing fires for the past."""
    return Record(
        schedule=schedule,
        origin=origin,
        created_ms=by.now_ms,
        changed_ms=by.now_ms,
        changed_by=by.who,
        decided_ms=by.now_ms,
    )


def edited(record: Record, schedule: Schedule, by: Change) -> Record:
    """With another definition. New times count from now; where they stay, so does what is due."""
    times = ("cron", "tz", "every", "anchor")
    if schedule == record.schedule:
        return record
    moved = any(getattr(schedule, it) != getattr(record.schedule, it) for it in times)
    return replace(
        record,
        schedule=schedule,
        changed_ms=by.now_ms,
        changed_by=by.who,
        decided_ms=by.now_ms if moved else record.decided_ms,
        waiting_ms=None if moved else record.waiting_ms,
    )


def may_declare(record: Record, schedule: Schedule, origin: Origin) -> bool:
    """Whether this record is that of the schedule in code. A worker takes over only what workers left, or its own pipeline's."""
    if origin == "code" or (record.pause and record.pause.orphaned):
        return True
    return record.origin == origin and record.schedule.pipeline == schedule.pipeline


def declared(record: Record, schedule: Schedule, by: Change, origin: Origin = "code") -> Record:
    """As it is in code again: edited, and back if it was orphaned. A pause by a person stays.

    Ticks that came while it was orphaned were missed, as in a deployment without its file: its policy has what becomes of them.
    """
    changed = edited(record, schedule, by)
    if record.pause and record.pause.orphaned:
        changed = resumed(changed, by, makes_up=True)
    return changed if changed.origin == origin else replace(changed, origin=origin)


def orphaned(record: Record, by: Change) -> Record:
    """Paused, for it is in code no more."""
    why = "it was declared in code, and is there no more: declare it again, or remove it here"
    pause = Pause(who=by.who, at_ms=by.now_ms, why=why, orphaned=True)
    return record if record.pause else replace(record, pause=pause)


def paused(record: Record, by: Change) -> Record:
    """Without ticks until it is resumed. What is owed is still submitted. A second pause changes nothing."""
    pause = Pause(who=by.who, at_ms=by.now_ms, why=by.why)
    return record if record.pause else replace(record, pause=pause)


def resumed(record: Record, by: Change, *, makes_up: bool = False) -> Record:
    """With ticks again: those after now, or with `makes_up` what its policy wants of the missed ones."""
    if record.pause is None:
        return record
    if makes_up:
        return replace(record, pause=None)
    return replace(record, pause=None, decided_ms=max(by.now_ms, record.decided_ms), waiting_ms=None)


def run_now(record: Record, run_id: str, now_ms: int) -> Record:
    """With one more run owed, at no tick. Raises TooManyOwed."""
    return _owing_more(record, [Owed(tick_ms=now_ms, run_id=run_id, cause="now")])


def backfilled(record: Record, from_ms: int, to_ms: int) -> Record:
    """With the ticks from the one moment to before the other owed, each under its id: what ran already does not run again.

    Raises TooManyOwed.
    """
    found = list(islice(ticks_between(record.schedule, from_ms - 1, to_ms - 1), MOST_OWED + 1))
    known = {owed.run_id for owed in record.owed}
    ids = [(tick, run_id_of_tick(record.schedule, record.created_ms, tick)) for tick in found]
    more = [
        Owed(tick_ms=tick, run_id=run_id, cause="backfill") for tick, run_id in ids if run_id not in known
    ]
    return _owing_more(record, more)


def _owing_more(record: Record, more: Sequence[Owed]) -> Record:
    if len(record.owed) + len(more) > MOST_OWED:
        raise TooManyOwed(
            f"{len(record.owed)} runs of it wait to be submitted, and {MOST_OWED} may: ask for fewer at a time, as for a shorter span"
        )
    return replace(record, owed=(*record.owed, *more))
