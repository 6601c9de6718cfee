"""Handlers: bound to a stage, called, and judged; no broker, no store."""

from mousetrap.handlers.async_call import AsyncCall, Suspended
from mousetrap.handlers.binding import Binding, no_dependencies
from mousetrap.handlers.bound_handler import BoundHandler, HandlerHost
from mousetrap.handlers.call import Call
from mousetrap.handlers.calling import Raised, Returned, call, call_async, run_through
from mousetrap.handlers.chain import Chain, chain
from mousetrap.handlers.context import AttemptInfo, Context, attempt_info, context_of, facts_of
from mousetrap.handlers.error_hook import HOOK_S, AttemptFailed, call_hook, hook_variables
from mousetrap.handlers.fan_steps import Spread, Step, each, gather
from mousetrap.handlers.hung import Hung, HungHandlers
from mousetrap.handlers.items import Children, CountedChildren, FanRefused, Items
from mousetrap.handlers.local_handlers import AsyncHandler, bound
from mousetrap.handlers.outcomes import (
    crash_loop,
    done,
    failure_of,
    fan_late,
    fan_stalled,
    forked,
    input_broken,
    judged,
    lock_held,
    locked_out,
    output_of,
    record_refused,
    too_many,
    unknown_stage,
    waited_out,
)
from mousetrap.handlers.parameters import TaskRefused
from mousetrap.handlers.progress_reporter import ProgressReporter
from mousetrap.handlers.run_surrounded import run_surrounded
from mousetrap.handlers.soft_timeout import SoftLimit, SoftTimeout
from mousetrap.handlers.surroundings import Around, Middleware, Next, OnError
from mousetrap.handlers.task import Task, TaskOptions, task
from mousetrap.handlers.tasks import Tasks
from mousetrap.handlers.yields import LARGEST_VALUE, AttemptOver, Emit, Result, YieldRefused, Yields

__all__ = [
    "HOOK_S",
    "LARGEST_VALUE",
    "Around",
    "AsyncCall",
    "AsyncHandler",
    "AttemptFailed",
    "AttemptInfo",
    "AttemptOver",
    "Binding",
    "BoundHandler",
    "Call",
    "Chain",
    "Children",
    "Context",
    "CountedChildren",
    "Emit",
    "FanRefused",
    "HandlerHost",
    "Hung",
    "HungHandlers",
    "Items",
    "Middleware",
    "Next",
    "OnError",
    "ProgressReporter",
    "Raised",
    "Result",
    "Returned",
    "SoftLimit",
    "SoftTimeout",
    "Spread",
    "Step",
    "Suspended",
    "Task",
    "TaskOptions",
    "TaskRefused",
    "Tasks",
    "YieldRefused",
    "Yields",
    "attempt_info",
    "bound",
    "call",
    "call_async",
    "call_hook",
    "chain",
    "context_of",
    "crash_loop",
    "done",
    "each",
    "facts_of",
    "failure_of",
    "fan_late",
    "fan_stalled",
    "forked",
    "gather",
    "hook_variables",
    "input_broken",
    "judged",
    "lock_held",
    "locked_out",
    "no_dependencies",
    "output_of",
    "record_refused",
    "run_surrounded",
    "run_through",
    "task",
    "too_many",
    "unknown_stage",
    "waited_out",
]
