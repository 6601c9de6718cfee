"""Draws an outbox: pure."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mousetrap.cli.tables.style import duration, moment
from mousetrap.outbox import SetAside, Status


def status_table(status: Status, now: datetime) -> Table:
    """The counts of an outbox, and the age of its oldest row."""
    facts = Table.grid(padding=(0, 2))
    age = (
        f", the oldest for {duration(now.timestamp() - status.oldest_ms / 1000)}" if status.oldest_ms else ""
    )
    facts.add_row("waiting", f"{status.waiting}{age}")
    blocked = f", which block {status.blocked} of their keys" if status.blocked else ""
    facts.add_row("set aside", Text(f"{status.set_aside}{blocked}", "red" if status.set_aside else ""))
    return facts


def set_aside_list(rows: Sequence[SetAside], now: datetime) -> RenderableType:
    """Rows that were set aside, each above its error: an error has no room in a column."""
    if not rows:
        return "no row is set aside"
    return Group(*(part for row in rows for part in (_heading(row, now), _why(row))))


def _heading(row: SetAside, now: datetime) -> Text:
    facts = [f"row {row.id}", row.pipeline, moment(row.set_aside_ms, now)]
    if row.key:
        facts.append(f"key {row.key}" + (f", blocks {row.blocks}" if row.blocks else ""))
    return Text("  ".join(facts))


def _why(row: SetAside) -> Padding:
    return Padding(Text(" ".join(row.error.split()), "red"), (0, 0, 0, 4))
