"""Lists live workers, their work, and how long jobs wait."""

from mousetrap.worker_registry.registry import WorkerRegistry, open_registry

__all__ = ["WorkerRegistry", "open_registry"]
