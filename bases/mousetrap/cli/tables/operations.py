"""Draws operations as tables: pure."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mousetrap.cli.tables.style import coloured, duration, moment, table_of
from mousetrap.shapes import Operation, OperationPage

#: Characters of an id in a table.
_SHOWN = 14


def operations_table(page: OperationPage, now: datetime) -> RenderableType:
    """A page of operations, newest first, a line each."""
    more = [Text(f"more: mousetrap operations list --after {page.next}", "dim")] if page.next else []
    if not page.operations:
        return Group("no operation matches" if more else "no operations", *more)
    table = table_of("operation", "kind", "state", "tried", "failed", "begun", "who")
    table.columns[3].justify = "right"
    who = table.columns[-1]
    table.expand, who.ratio, who.no_wrap, who.overflow = True, 1, True, "ellipsis"
    for it in page.operations:
        state = Text("waits", "yellow") if it.waits else coloured(it.state, "")
        tried = f"{it.matched - it.left} of {it.matched}"
        row = (it.kind, state, tried, str(it.failed), moment(it.created_ms, now), it.who)
        # Commands take the beginning of an id, and nearly all of this one is its time.
        table.add_row(f"{it.id[:_SHOWN]}…", *row)
    return Group(table, *more)


def operation_facts(operation: Operation, now: datetime) -> RenderableType:
    """One operation, a fact a line."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("operation", Text(operation.id, "bold"))
    facts.add_row("kind", f"{operation.kind} from {operation.begin}" if operation.begin else operation.kind)
    facts.add_row("state", coloured(operation.state, ""))
    if operation.waits:
        facts.add_row("waits", Text(operation.waits, "yellow"))
    facts.add_row("filter", ", ".join(f"{name} {value}" for name, value in operation.filter.items()) or "all")
    facts.add_row("rate", f"{operation.rate:g} a second, at most")
    facts.add_row("who", operation.who)
    if operation.reason:
        facts.add_row("why", operation.reason)
    facts.add_row("begun", moment(operation.created_ms, now))
    if operation.ended_ms:
        took = duration(max(0, operation.ended_ms - operation.created_ms) / 1000)
        facts.add_row("ended", f"{moment(operation.ended_ms, now)}, after {took}")
    facts.add_row("matched", f"{operation.matched}{', and more are looked for' if operation.finding else ''}")
    counts = (("done", operation.done), ("stale", operation.stale), ("failed", operation.failed))
    for name, count in (*counts, ("left", operation.left)):
        facts.add_row(name, str(count))
    if operation.unseen != 0:
        facts.add_row(
            "unseen", "more than one operation takes" if operation.unseen is None else str(operation.unseen)
        )
    return Group(facts, *_failures(operation))


def _failures(operation: Operation) -> list[RenderableType]:
    if not operation.failures:
        return []
    first = len(operation.failures) < operation.failed
    lines = [Text(f"{it.target} ".lstrip(), "dim").append(it.error, "red") for it in operation.failures]
    return [Text(), Text("the first that failed:" if first else "failed:", "bold"), *lines]
