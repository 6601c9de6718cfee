"""Handlers: how one is bound to a stage, called, and judged; without broker or store."""

from mousetrap.handlers.binding import Binding, nothing
from mousetrap.handlers.calling import Raised, Returned, awaited, call, call_in_task, run_through
from mousetrap.handlers.context import Context, context_of
from mousetrap.handlers.outcomes import (
    crash_loop,
    done,
    input_broken,
    judged,
    lock_held,
    locked_out,
    record_refused,
    too_many,
    unknown_stage,
    waited_out,
)
from mousetrap.handlers.soft_timeout import SoftLimit, SoftTimeout

__all__ = [
    "Binding",
    "Context",
    "Raised",
    "Returned",
    "SoftLimit",
    "SoftTimeout",
    "awaited",
    "call",
    "call_in_task",
    "context_of",
    "crash_loop",
    "done",
    "input_broken",
    "judged",
    "lock_held",
    "locked_out",
    "nothing",
    "record_refused",
    "run_through",
    "too_many",
    "unknown_stage",
    "waited_out",
]
