"""Handlers in processes of their own, which can be killed."""

from mousetrap.isolated_handlers.child_process import HandlerDied
from mousetrap.isolated_handlers.isolated_handler import IsolatedHandler

__all__ = ["HandlerDied", "IsolatedHandler"]
