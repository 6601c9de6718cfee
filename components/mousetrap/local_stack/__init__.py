"""The whole stack on this machine."""

from mousetrap.local_stack.folder import writing_in
from mousetrap.local_stack.plan import Parts, Plan, programs
from mousetrap.local_stack.restarts import ProgramEnded
from mousetrap.local_stack.server import VALKEY
from mousetrap.local_stack.stack import Stack, StopAsked, running_stack

__all__ = [
    "VALKEY",
    "Parts",
    "Plan",
    "ProgramEnded",
    "Stack",
    "StopAsked",
    "programs",
    "running_stack",
    "writing_in",
]
