"""Ends a process in time, takes its signals, separates what it forks."""

from mousetrap.shutdown.exit_codes import ExitCode
from mousetrap.shutdown.exit_guard import ExitGuard, exit_now
from mousetrap.shutdown.forks import close_in_forks, keep_in_forks, own_loop, own_signals, this_process
from mousetrap.shutdown.leftovers import all_stacks, left_behind, stack, task_stack
from mousetrap.shutdown.signals import SignalThread, called_at_signals
from mousetrap.shutdown.tasks import AGAIN_S, end_tasks, uncancel

__all__ = [
    "AGAIN_S",
    "ExitCode",
    "ExitGuard",
    "SignalThread",
    "all_stacks",
    "called_at_signals",
    "close_in_forks",
    "end_tasks",
    "exit_now",
    "keep_in_forks",
    "left_behind",
    "own_loop",
    "own_signals",
    "stack",
    "task_stack",
    "this_process",
    "uncancel",
]
