"""Serves a real week of earthquakes and its days on this machine."""

from mousetrap.earthquakes_sample.days import packed_week
from mousetrap.earthquakes_sample.feed_server import day_addresses, served_week
from mousetrap.earthquakes_sample.local_week import local_week

__all__ = ["day_addresses", "local_week", "packed_week", "served_week"]
