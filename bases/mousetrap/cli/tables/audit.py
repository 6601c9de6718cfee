"""Draws the audit trail as lines: pure."""

from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from mousetrap.cli.tables.style import coloured, moment
from mousetrap.shapes import AuditEntry, AuditPage

#: Characters from which on a value is cut, and what is kept of it.
_LONG, _BEGINNING = 25, 14
#: So that the second line begins where the first one names who.
_INDENT = len("12:00:00  ")


def audit_table(page: AuditPage, now: datetime) -> RenderableType:
    """Acts, newest first: when, who, its outcome; and below what it was about, and why."""
    if not page.entries:
        more = f": `mousetrap audit --after {page.next}` looks further" if page.next else ""
        return f"no act matches{more}"
    lines: list[RenderableType] = []
    for entry in page.entries:
        count = "?" if entry.count is None else f"{entry.count:,}"
        who = Text.assemble((moment(entry.at_ms, now), "dim"), "  ", (entry.who, "bold"), f"  {entry.act}")
        lines.append(who.append_text(Text.assemble(f" {count}  ", coloured(entry.outcome, ""))))
        if about := _about(entry):
            lines.append(Padding(about, (0, 0, 0, _INDENT)))
    more = f"older ones: mousetrap audit --after {page.next}"
    return Group(*lines, *([Text(more, "dim")] if page.next else []))


def _about(entry: AuditEntry) -> Text:
    facts = [_fact(name, value) for name, value in entry.what.items() if value not in ("", None, {}, [])]
    about = Text(", ".join(facts))
    return about.append(f"{', ' if facts else ''}because: {entry.reason}", "dim") if entry.reason else about


def _fact(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(_fact(key, it) for key, it in value.items()) or "all"
    if isinstance(value, list):
        return f"{len(value)} {name}" if len(value) > 1 else f"{name} {value[0]}"
    text = str(value)
    # An id is known by its beginning, of which the first twelve characters are its time.
    return f"{name.replace('_', ' ')} {text if len(text) < _LONG else f'{text[:_BEGINNING]}…'}"
