"""Draws the results of the example for the terminal."""

from mousetrap.earthquakes_tables.comparison_table import comparison_table, draw_comparison
from mousetrap.earthquakes_tables.summary_tables import draw_result, summary_tables

__all__ = ["comparison_table", "draw_comparison", "draw_result", "summary_tables"]
