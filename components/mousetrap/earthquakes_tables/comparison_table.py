"""Draws the feeds of a comparison, a row for each."""

from typing import Any

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mousetrap.earthquakes import STRONG, Comparison, FeedReport


def draw_comparison(result: Any) -> RenderableType | None:
    """The result of a run as a table; None for one that another version made differently."""
    try:
        return comparison_table(msgspec.convert(result, Comparison))
    except msgspec.ValidationError:
        return None


def comparison_table(comparison: Comparison) -> RenderableType:
    """The whole comparison; 80 columns hold it."""
    strong = sum(bool(report.strong) for report in comparison.feeds)
    heading = f"{_feeds(len(comparison.feeds))}, {strong} with an earthquake of magnitude {STRONG:g} or more"
    lost = [Text(f"{_feeds(comparison.lost)} could not be read", "red")] if comparison.lost else []
    return Group(Text(heading, "bold"), Padding(_rows(comparison.feeds), (1, 0, 0, 0)), *lost)


def _rows(reports: list[FeedReport]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )
    table.add_column("feed", overflow="fold")
    for name in ("earthquakes", "strong", "strongest"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    for report in reports:
        table.add_row(" ".join(report.title.split()), f"{report.earthquakes:,}", *_strong(report))
    return table


def _strong(report: FeedReport) -> tuple[str | Text, str, str]:
    """How many, and the magnitude and place of the first."""
    if not report.strong:
        return Text("quiet", "dim"), "", ""
    first = report.strong[0]
    return str(len(report.strong)), f"{first.magnitude:.1f}", first.place


def _feeds(count: int) -> str:
    return "1 feed" if count == 1 else f"{count:,} feeds"
