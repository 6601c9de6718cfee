"""Reads a Celery app's source, and writes declarations."""

from mousetrap.celery_source.read_app import App, FoundSchedule, FoundTask, read_app
from mousetrap.celery_source.write_moved import write_declared, write_moved

__all__ = ["App", "FoundSchedule", "FoundTask", "read_app", "write_declared", "write_moved"]
