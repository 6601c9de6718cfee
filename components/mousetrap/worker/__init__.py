"""Verifies, claims, runs, records and settles jobs."""

from mousetrap.handlers import Binding, Context, SoftTimeout  # for users of before; their home is `handlers`
from mousetrap.worker.options import Runtime, WorkerOptions
from mousetrap.worker.pauses import Pauses
from mousetrap.worker.run import run_worker
from mousetrap.worker.stats import Running, WorkerStats
from mousetrap.worker.stop import Stop

__all__ = [
    "Binding",
    "Context",
    "Pauses",
    "Running",
    "Runtime",
    "SoftTimeout",
    "Stop",
    "WorkerOptions",
    "WorkerStats",
    "run_worker",
]
