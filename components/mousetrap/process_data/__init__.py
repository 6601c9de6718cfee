"""Summarises feeds of earthquakes, and compares them."""

from mousetrap.process_data.feeds import compare, count_quiet, report_strong
from mousetrap.process_data.process import process_data

__all__ = ["compare", "count_quiet", "process_data", "report_strong"]
