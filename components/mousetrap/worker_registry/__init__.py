"""Who is alive, what they serve and run, and how long jobs wait for them."""

from mousetrap.worker_registry.beat import BEAT_SECONDS, Beat, Doing, State, WorkerSeen
from mousetrap.worker_registry.registry import WorkerRegistry, open_registry

__all__ = ["BEAT_SECONDS", "Beat", "Doing", "State", "WorkerRegistry", "WorkerSeen", "open_registry"]
