"""Draws a summary: figures, magnitude bands, regions, strongest earthquakes."""

from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mousetrap.earthquakes import Band, Earthquake, Region, Spread, Summary

#: Rows of a table, and characters of its longest bar.
_ROWS, _BAR = 10, 16


def draw_result(result: Any) -> RenderableType | None:
    """The result of a run as tables; None for one that another version made differently."""
    try:
        return summary_tables(msgspec.convert(result, Summary))
    except msgspec.ValidationError:
        return None


def summary_tables(summary: Summary) -> RenderableType:
    """The whole summary; 80 columns hold it."""
    sides = Table.grid(padding=(0, 4))
    sides.add_row(_bands(summary.bands, summary.missing_magnitudes), _regions(summary.regions))
    return Group(
        Text(f"{' '.join(summary.title.split())} · {_moment(summary.generated_ms)}", "bold"),
        Padding(_figures(summary), (1, 0)),
        sides,
        Padding(_strongest(summary.strongest), (1, 0, 0, 0)),
    )


def _figures(summary: Summary) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_row("earthquakes", Text(f"{summary.earthquakes:,}", "bold"))
    for kind, count in summary.other_events.items():
        facts.add_row(kind if count == 1 else f"{kind}s", f"{count:,}, counted apart")
    for why, count in islice(summary.skipped.items(), _ROWS):
        facts.add_row("left out", Text(f"{count:,}: {why}"))
    if summary.magnitude:
        facts.add_row("magnitude", _spread(summary.magnitude))
    if summary.depth_km:
        facts.add_row("depth", _spread(summary.depth_km, " km"))
    facts.add_row("b-value", _b_value(summary))
    return facts


def _b_value(summary: Summary) -> str:
    if summary.b_value is None:
        return "too few events"
    error = f" ± {summary.b_error:.2f}" if summary.b_error is not None else ""
    where = f" in {summary.b_region}" if summary.b_region else ""
    return f"{summary.b_value:.2f}{error}{where}, from magnitude {summary.completeness} up"


def _bands(bands: list[Band], missing: int) -> Table:
    table = _table("magnitude", "earthquakes", "")
    most = max((band.count for band in bands), default=0)
    for band in bands:
        table.add_row(_range(band), f"{band.count:,}", _bar(band.count, most))
    if missing:
        table.add_row("not given", f"{missing:,}", "")
    return table


def _regions(regions: list[Region]) -> Table:
    table = _table("region", "earthquakes")
    for region in regions[:_ROWS]:
        table.add_row(region.name, f"{region.count:,}")
    if rest := regions[_ROWS:]:
        table.add_row(f"{len(rest)} others", f"{sum(region.count for region in rest):,}", style="dim")
    return table


def _strongest(events: list[Earthquake]) -> Table:
    table = _table("strongest", "when (UTC)", "depth", "where")
    for event in events[:_ROWS]:
        depth = f"{event.depth_km:.0f} km" if event.depth_km is not None else ""
        table.add_row(f"{event.magnitude:.1f}", _moment(event.time_ms), depth, event.place)
    return table


def _table(*columns: str) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )
    for column in columns:
        right = column in ("earthquakes", "strongest", "depth")
        table.add_column(column, justify="right" if right else "left", no_wrap=column != "where")
    return table


def _range(band: Band) -> str:
    if band.low is None:
        return "any" if band.high is None else f"below {band.high:g}"
    return f"{band.low:g} and more" if band.high is None else f"{band.low:g} to {band.high:g}"


def _bar(count: int, most: int) -> Text:
    """A bar that is never empty where something was counted."""
    return Text("█" * -(-count * _BAR // most) if most else "", "cyan")


def _spread(spread: Spread, unit: str = "") -> str:
    middle = f"{spread.lower_quartile:.1f} to {spread.upper_quartile:.1f}{unit}"
    return f"{spread.minimum:.1f} to {spread.maximum:.1f}{unit}, half of them {middle}"


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"
