"""Shows runs, queues and workers as pages under /ui."""

from mousetrap.dashboard.app import create_dashboard
from mousetrap.dashboard.host import Host
from mousetrap.dashboard.words import BASE

__all__ = ["BASE", "Host", "create_dashboard"]
