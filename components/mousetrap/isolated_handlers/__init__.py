"""Handlers in processes of their own, which can be killed."""

from mousetrap.isolated_handlers.child_process import HandlerDied
from mousetrap.isolated_handlers.isolated import Children
from mousetrap.isolated_handlers.protocol import Facts

__all__ = ["Children", "Facts", "HandlerDied"]
