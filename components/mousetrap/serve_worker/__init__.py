"""A worker as a process: settings in, jobs done, exit code out."""

from mousetrap.serve_worker.main import tasks_main, worker_main
from mousetrap.serve_worker.serve import Binder, Connect, Groups, serve_worker

__all__ = ["Binder", "Connect", "Groups", "serve_worker", "tasks_main", "worker_main"]
