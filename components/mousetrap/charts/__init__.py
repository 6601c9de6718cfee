"""Draws runs and minutes as numbers for a picture."""

from mousetrap.charts.axis import Tick, clock_ticks, duration_ticks, number_ticks
from mousetrap.charts.day import Column, DayCharts, DayRow, LineChart, StackChart, day_charts
from mousetrap.charts.run_chart import Bar, Fold, Lane, RunChart, Scale, Strip, run_chart
from mousetrap.charts.run_rows import Part, PartKind, Rate, Row, Span, rows_of
from mousetrap.charts.sparkline import Sparkline, sparkline

__all__ = [
    "Bar",
    "Column",
    "DayCharts",
    "DayRow",
    "Fold",
    "Lane",
    "LineChart",
    "Part",
    "PartKind",
    "Rate",
    "Row",
    "RunChart",
    "Scale",
    "Span",
    "Sparkline",
    "StackChart",
    "Strip",
    "Tick",
    "clock_ticks",
    "day_charts",
    "duration_ticks",
    "number_ticks",
    "rows_of",
    "run_chart",
    "sparkline",
]
