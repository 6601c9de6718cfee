"""Handlers: bound to a stage, called, and judged; no broker, no store."""

from mousetrap.handlers.binding import Binding, no_dependencies
from mousetrap.handlers.bound_handler import BoundHandler, HandlerHost
from mousetrap.handlers.calling import Raised, Returned, call, call_async, run_through
from mousetrap.handlers.context import AttemptInfo, Context, attempt_info, context_of
from mousetrap.handlers.hung import Hung, HungHandlers
from mousetrap.handlers.local_handlers import bound
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
from mousetrap.handlers.progress_reporter import ProgressReporter
from mousetrap.handlers.soft_timeout import SoftLimit, SoftTimeout

__all__ = [
    "AttemptInfo",
    "Binding",
    "BoundHandler",
    "Context",
    "HandlerHost",
    "Hung",
    "HungHandlers",
    "ProgressReporter",
    "Raised",
    "Returned",
    "SoftLimit",
    "SoftTimeout",
    "attempt_info",
    "bound",
    "call",
    "call_async",
    "context_of",
    "crash_loop",
    "done",
    "input_broken",
    "judged",
    "lock_held",
    "locked_out",
    "no_dependencies",
    "record_refused",
    "run_through",
    "too_many",
    "unknown_stage",
    "waited_out",
]
