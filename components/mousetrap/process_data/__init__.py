"""Summarises a feed of earthquakes."""

from mousetrap.process_data.process import process_data

__all__ = ["process_data"]
