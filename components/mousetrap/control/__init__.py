"""Keeps pauses of queues and requests to workers in the store."""

from mousetrap.control.control import NOTHING_ASKED, Control, Orders

__all__ = ["NOTHING_ASKED", "Control", "Orders"]
