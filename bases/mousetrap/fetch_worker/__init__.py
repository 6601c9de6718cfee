"""The fetch worker's process."""

from mousetrap.fetch_worker.main import main

__all__ = ["main"]
