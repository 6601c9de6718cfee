"""Loads the tasks, chains and bindings of modules that are named."""

from mousetrap.discovery.discover import Discovered, discover
from mousetrap.discovery.found import Found
from mousetrap.discovery.not_loaded import NotLoaded

__all__ = ["Discovered", "Found", "NotLoaded", "discover"]
