"""The worker's runtime: takes jobs off queues, runs their handlers, and settles each job exactly once."""

from mousetrap.worker.binding import Binding
from mousetrap.worker.calling import run_through
from mousetrap.worker.child_process import HandlerDied
from mousetrap.worker.context import Context
from mousetrap.worker.drain import Stop
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.run import run_worker
from mousetrap.worker.soft_timeout import SoftTimeout
from mousetrap.worker.watching import Hung, Running, Watching

__all__ = [
    "Binding",
    "Context",
    "HandlerDied",
    "Hung",
    "Running",
    "SoftTimeout",
    "Stop",
    "Watching",
    "WorkerOptions",
    "run_through",
    "run_worker",
]
