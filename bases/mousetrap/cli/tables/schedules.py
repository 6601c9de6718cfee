"""Draws schedules as tables: pure."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mousetrap.cli.tables.style import about, moment, table_of
from mousetrap.shapes import DEFAULT_PRIORITY, PastTick, Schedule, SchedulePage

_COLOURS = {"fired": "green", "missed": "yellow", "skipped": "yellow", "refused": "bold red"}
_MADE = {"code": "in code", "worker": "in its workers' code"}
#: Past ticks that are shown of one schedule.
_SHOWN = 10


def schedules_table(page: SchedulePage, now: datetime) -> RenderableType:
    """A page of schedules by name, a line each."""
    more = [Text(f"more: mousetrap schedules list --after {page.next}", "dim")] if page.next else []
    if not page.schedules:
        advice = "no schedules: mousetrap schedules add NAME --pipeline PIPELINE --cron '30 2 * * *'"
        return Group(advice, *more)
    table = table_of("schedule", "pipeline", "when", "next", "last")
    when = table.columns[2]
    table.expand, when.ratio, when.no_wrap = True, 1, False
    for it in page.schedules:
        last = _became(it.past[0]) if it.past else Text("never", "dim")
        table.add_row(it.name, it.pipeline, it.words, _next(it, now), last)
    return Group(table, *more)


def schedule_facts(it: Schedule, now: datetime) -> RenderableType:
    """One schedule, a fact a line, and its last ticks."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("schedule", Text(it.name, "bold"))
    facts.add_row("pipeline", it.pipeline)
    facts.add_row("when", it.words if it.cron is None else f"{it.words}: {it.cron}")
    facts.add_row("next", _next(it, now))
    for tick in it.next[1:]:
        facts.add_row("", Text(tick.local, "dim"))
    if it.paused:
        why = f": {it.paused.why}" if it.paused.why else ""
        facts.add_row("paused", f"by {it.paused.who} at {moment(it.paused.at_ms, now)}{why}")
    if it.waits:
        facts.add_row("waits", Text(it.waits, "yellow"))
    facts.add_row("missed", f"{it.missed}, up to {about(it.catch_up)} back")
    facts.add_row("overlap", it.overlap)
    facts.add_row("made", _MADE.get(it.origin, f"by {it.changed_by}"))
    if it.owed:
        facts.add_row("owed", f"{it.owed} runs")
    if it.priority != DEFAULT_PRIORITY:
        facts.add_row("priority", str(it.priority))
    if it.tags:
        facts.add_row("tags", ", ".join(it.tags))
    return Group(facts, *_ticks(it, now))


def _next(it: Schedule, now: datetime) -> Text:
    if it.paused:
        return Text("orphaned" if it.paused.orphaned else "paused", "yellow")
    if it.overdue:
        return Text("overdue", "bold red")
    if not it.next:
        return Text("never", "dim")
    left_s = it.next[0].at_ms / 1000 - now.timestamp()
    return Text(f"in {about(left_s)}")


def _ticks(it: Schedule, now: datetime) -> list[RenderableType]:
    if not it.past:
        return []
    table = table_of("tick", "became", "run", "why")
    for past in it.past[:_SHOWN]:
        table.add_row(moment(past.at_ms, now), _became(past), past.run_id or "", past.why)
    return [Text(), table]


def _became(past: PastTick) -> Text:
    many = f" {past.count}" if past.count > 1 else ""
    by_hand = "" if past.cause == "tick" else f" ({past.cause})"
    return Text(f"{past.became}{many}", _COLOURS[past.became]).append(by_hand, "dim")
