"""Draws checks as a table: pure."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from mousetrap.cli.checks import Check
from mousetrap.cli.tables.style import coloured


def checks_table(checks: Iterable[Check]) -> Table:
    """What was looked at, what was found, and how to correct it."""
    table = Table.grid(padding=(0, 2))
    for check in checks:
        found = Text(check.found)
        if check.advice:
            found.append(f"\n→ {check.advice}", "bold")
        table.add_row(coloured(check.state, ""), check.name, found)
    return table
