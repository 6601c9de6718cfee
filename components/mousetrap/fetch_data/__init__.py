"""Brings one feed of earthquakes from an HTTP address, within bounds of address, time, size and form."""

from mousetrap.fetch_data.bounds import FetchBounds
from mousetrap.fetch_data.fetch import Fetcher, fetch_data, open_fetcher

__all__ = ["FetchBounds", "Fetcher", "fetch_data", "open_fetcher"]
