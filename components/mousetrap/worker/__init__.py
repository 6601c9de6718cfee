"""The worker's runtime: takes jobs off queues, runs their handlers and settles each job."""

from mousetrap.handlers import Binding, Context, SoftTimeout  # for users of before; their home is `handlers`
from mousetrap.worker.drain import Stop
from mousetrap.worker.options import WorkerOptions
from mousetrap.worker.run import run_worker
from mousetrap.worker.watching import Running, Watching

__all__ = [
    "Binding",
    "Context",
    "Running",
    "SoftTimeout",
    "Stop",
    "Watching",
    "WorkerOptions",
    "run_worker",
]
