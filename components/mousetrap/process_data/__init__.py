"""Sums up a feed of earthquakes: how many, how strong, how deep, where, and how the strong relate to the weak."""

from mousetrap.process_data.process import process_data

__all__ = ["process_data"]
