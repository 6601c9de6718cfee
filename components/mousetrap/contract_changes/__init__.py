"""Finds which changes of contracts break messages in flight."""

from mousetrap.contract_changes.accepts import Break, accepts
from mousetrap.contract_changes.compare import Change, Direction, compare

__all__ = ["Break", "Change", "Direction", "accepts", "compare"]
