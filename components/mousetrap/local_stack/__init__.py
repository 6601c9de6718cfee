"""The whole stack on this machine."""

from mousetrap.local_stack.folder import writing_in
from mousetrap.local_stack.plan import Parts, Plan, programs
from mousetrap.local_stack.processes import Change, Program, run_processes
from mousetrap.local_stack.restarts import ProgramEnded
from mousetrap.local_stack.server import VALKEY
from mousetrap.local_stack.stack import Stack, StopAsked, find_api_port, running_stack
from mousetrap.local_stack.watch import watch_files

__all__ = [
    "VALKEY",
    "Change",
    "Parts",
    "Plan",
    "Program",
    "ProgramEnded",
    "Stack",
    "StopAsked",
    "find_api_port",
    "programs",
    "run_processes",
    "running_stack",
    "watch_files",
    "writing_in",
]
