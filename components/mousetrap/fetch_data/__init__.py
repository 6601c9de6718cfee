"""Fetches a feed of earthquakes over HTTP, within bounds."""

from mousetrap.fetch_data.bounds import FetchBounds
from mousetrap.fetch_data.fetch import Fetcher, fetch_data, open_fetcher
from mousetrap.fetch_data.kind import quiet_or_strong

__all__ = ["FetchBounds", "Fetcher", "fetch_data", "open_fetcher", "quiet_or_strong"]
