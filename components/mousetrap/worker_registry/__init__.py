"""Lists live workers, their work, and how long jobs wait."""

from mousetrap.worker_registry.published import NOTHING, InUse, Published
from mousetrap.worker_registry.registry import MANIFEST_KEEP_MS, WorkerRegistry, open_registry

__all__ = ["MANIFEST_KEEP_MS", "NOTHING", "InUse", "Published", "WorkerRegistry", "open_registry"]
