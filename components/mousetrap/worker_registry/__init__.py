"""Who is alive, what they serve and run, and how long jobs wait for them."""

from mousetrap.worker_registry.registry import WorkerRegistry, open_registry

__all__ = ["WorkerRegistry", "open_registry"]
