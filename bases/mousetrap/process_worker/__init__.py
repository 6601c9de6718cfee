"""The process worker's process."""

from mousetrap.process_worker.main import main

__all__ = ["main"]
