"""The whole stack on this machine: server, API and workers as processes that start and stop together."""

from mousetrap.local_stack.folder import keeping
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
    "keeping",
    "programs",
    "running_stack",
]
