"""Serves a real week of earthquakes on this machine."""

from mousetrap.earthquakes_sample.feed_server import packed_week, served_week
from mousetrap.earthquakes_sample.local_week import local_week

__all__ = ["local_week", "packed_week", "served_week"]
