"""Declares a schedule: which pipeline it starts, and when."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from mousetrap.schedules.check_cron import cron_fault, zone_fault
from mousetrap.shapes import DEFAULT_PRIORITY, priority_fault

#: What becomes of ticks that nothing fired at their time; and of one whose predecessor's run has not ended.
Missed = Literal["skip", "once", "all"]
Overlap = Literal["allow", "skip", "queue_one", "cancel_running"]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,54}")
_SHORTEST, _LONGEST = timedelta(seconds=1), timedelta(days=36_525)
_NONE = timedelta(0)
#: Ticks that are made up for, at most.
MOST_MADE_UP = 1_000
#: A run has 16 tags at most, and one of them is the schedule's own.
_MOST_TAGS, _LONGEST_TAG = 15, 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ScheduleWrong(ValueError):
    """A schedule has no meaning; the text has the place and the fix."""

    def __init__(self, name: object, member: str, text: str) -> None:
        super().__init__(f"schedule {name!r}: {text}")
        #: The argument at fault, and the text without the schedule's name.
        self.member = member
        self.text = text


@dataclass(frozen=True, slots=True)
class Schedule:
    """Starts a pipeline again and again: by a cron expression, or in equal distances. Raises ScheduleWrong."""

    name: str
    #: The pipeline's name.
    pipeline: str = field(kw_only=True)
    #: Five fields: minute, hour, day of the month, month, day of the week. Not together with `every`.
    cron: str | None = field(default=None, kw_only=True)
    #: The time zone of `cron`, by its name in the IANA database. Never the machine's own.
    tz: str = field(default="UTC", kw_only=True)
    #: The distance between two ticks; they are counted from `anchor` on, so that no restart moves them.
    every: timedelta | None = field(default=None, kw_only=True)
    anchor: datetime = field(default=_EPOCH, kw_only=True)
    #: The pipeline's input; None for its defaults.
    input: Any = field(default=None, kw_only=True)
    #: The member of the input that gets the tick, as `2026-11-30T02:30:00+01:00`: a handler works for the tick, not for the clock.
    tick_as: str = field(default="", kw_only=True)
    #: Of ticks that nothing fired within a minute: none of them, the newest, or the newest `most` in their order; none older than
    #: `catch_up`.
    missed: Missed = field(default="once", kw_only=True)
    most: int = field(default=100, kw_only=True)
    catch_up: timedelta = field(default=timedelta(days=1), kw_only=True)
    #: While the run of the last tick has not ended: start another, leave the tick out, keep the newest tick until it has, or cancel it.
    overlap: Overlap = field(default="allow", kw_only=True)
    #: A tick fires up to so much later, by an amount that follows from its time.
    jitter: timedelta = field(default=_NONE, kw_only=True)
    #: No job of a run begins so long after the run was accepted; None for the pipeline's own number.
    expires_after: timedelta | None = field(default=None, kw_only=True)
    tags: tuple[str, ...] = field(default=(), kw_only=True)
    #: Of its runs: 0 to 9, the highest of which goes first.
    priority: int = field(default=DEFAULT_PRIORITY, kw_only=True)

    def __post_init__(self) -> None:
        for check in (_check_names, _check_times, _check_policies, _check_input):
            if fault := check(self):
                raise ScheduleWrong(self.name, *fault)


#: The member at fault, and what is wrong and how to correct it.
_Fault = tuple[str, str] | None


def _check_names(it: Schedule) -> _Fault:
    if not isinstance(it.name, str) or not _NAME.fullmatch(it.name):
        return (
            "name",
            "its name is refused: give 1 to 55 of a-z, 0-9, _ and -, with a letter first, as 'nightly'",
        )
    if not isinstance(it.pipeline, str) or not it.pipeline:
        return "pipeline", f"pipeline is {it.pipeline!r}: give the pipeline's name, as pipeline='earthquakes'"
    return None


def _check_times(it: Schedule) -> _Fault:
    if (it.cron is None) == (it.every is None):
        both = "cron and every are both given" if it.cron is not None else "neither cron nor every is given"
        return "cron", f"{both}: give one, as cron='30 2 * * *' or every=timedelta(minutes=15)"
    if fault := zone_fault(it.tz):
        return "tz", fault
    if it.cron is not None:
        fault = cron_fault(it.cron)
        return ("cron", fault) if fault else None
    return _check_every(it)


def _check_every(it: Schedule) -> _Fault:
    every = it.every
    if not isinstance(every, timedelta) or not _SHORTEST <= every <= _LONGEST:
        return (
            "every",
            f"every is {every!s}: give a timedelta from one second to a hundred years, as timedelta(minutes=15)",
        )
    if every % timedelta(milliseconds=1):
        return "every", f"every is {every!s}: give whole milliseconds, which times are counted in"
    if it.tz != "UTC":
        return (
            "tz",
            "tz goes with cron: every counts real time, in which no zone matters; leave tz out, or write a cron",
        )
    if not isinstance(it.anchor, datetime) or it.anchor.utcoffset() is None:
        return (
            "anchor",
            "anchor has no time zone: give one, as datetime(2026, 12, 1, 8, tzinfo=UTC)",
        )
    return None


def _check_policies(it: Schedule) -> _Fault:
    if it.missed not in ("skip", "once", "all"):
        return "missed", f"missed is {it.missed!r}: give 'skip', 'once' or 'all'"
    if it.overlap not in ("allow", "skip", "queue_one", "cancel_running"):
        return (
            "overlap",
            f"overlap is {it.overlap!r}: give 'allow', 'skip', 'queue_one' or 'cancel_running'",
        )
    if it.missed == "all" and it.overlap != "allow":
        return (
            "overlap",
            f"overlap is {it.overlap!r} with missed='all', whose runs begin together: write overlap='allow', or missed='once'",
        )
    if isinstance(it.most, bool) or not isinstance(it.most, int) or not 1 <= it.most <= MOST_MADE_UP:
        return "most", f"most is {it.most!r}: give a number from 1 to {MOST_MADE_UP}"
    if fault := priority_fault(it.priority):
        return "priority", fault
    return _check_spans(it)


def _check_spans(it: Schedule) -> _Fault:
    if not isinstance(it.catch_up, timedelta) or not _NONE <= it.catch_up <= _LONGEST:
        return (
            "catch_up",
            f"catch_up is {it.catch_up!s}: give a timedelta up to a hundred years, as timedelta(days=1)",
        )
    if not isinstance(it.jitter, timedelta) or not _NONE <= it.jitter <= timedelta(days=1):
        return "jitter", f"jitter is {it.jitter!s}: give a timedelta up to a day, as timedelta(seconds=30)"
    if it.every is not None and it.jitter >= it.every:
        return "jitter", f"jitter is {it.jitter!s}, and every {it.every!s}: give less than that"
    span = it.expires_after
    if span is not None and (not isinstance(span, timedelta) or not _NONE < span < _LONGEST):
        return (
            "expires_after",
            f"expires_after is {span!s}: give a timedelta of more than nothing, or None",
        )
    return None


def _check_input(it: Schedule) -> _Fault:
    try:
        msgspec.json.encode(it.input)
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeError) as error:
        return "input", f"input has no JSON form: {error}: give what the pipeline takes as JSON"
    if not isinstance(it.tick_as, str):
        return "tick_as", f"tick_as is {it.tick_as!r}: give the name of a member of the input"
    if it.tick_as and it.input is not None and not isinstance(it.input, dict):
        return (
            "tick_as",
            f"tick_as is {it.tick_as!r}, and the input has no members: give a dict as the input, or leave tick_as out",
        )
    if not isinstance(it.tags, tuple) or len(it.tags) > _MOST_TAGS:
        return "tags", f"tags is {it.tags!r}: give a tuple of at most {_MOST_TAGS} texts"
    for tag in it.tags:
        if not isinstance(tag, str) or not 1 <= len(tag) <= _LONGEST_TAG or not tag.isprintable():
            return (
                "tags",
                f"the tag {str(tag)[:70]!r} is refused: give 1 to {_LONGEST_TAG} printable characters",
            )
    return None
