"""Draws a summary of earthquakes for the terminal."""

from mousetrap.earthquakes_tables.summary_tables import draw_result, summary_tables

__all__ = ["draw_result", "summary_tables"]
