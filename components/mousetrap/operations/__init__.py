"""Repairs that go on in the server, on any API of it."""

from mousetrap.operations.carrier import Carrier
from mousetrap.operations.fate import MOST_TARGETS, Fate, Finding, Kind
from mousetrap.operations.record import Plan, Target
from mousetrap.operations.redrive import RedriveLetters
from mousetrap.operations.runs import CancelRuns, RerunRuns
from mousetrap.operations.store import (
    LEASE_S,
    MOST_LISTED,
    MOST_OPEN,
    Operations,
    TooManyOperations,
    open_operations,
)

__all__ = [
    "LEASE_S",
    "MOST_LISTED",
    "MOST_OPEN",
    "MOST_TARGETS",
    "CancelRuns",
    "Carrier",
    "Fate",
    "Finding",
    "Kind",
    "Operations",
    "Plan",
    "RedriveLetters",
    "RerunRuns",
    "Target",
    "TooManyOperations",
    "open_operations",
]
