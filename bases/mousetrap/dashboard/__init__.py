"""Shows runs, queues and workers as pages under /ui."""

from mousetrap.dashboard.app import create_dashboard
from mousetrap.dashboard.facts import Problem, Refused
from mousetrap.dashboard.host import Host, Visitors
from mousetrap.dashboard.words import BASE

__all__ = ["BASE", "Host", "Problem", "Refused", "Visitors", "create_dashboard"]
