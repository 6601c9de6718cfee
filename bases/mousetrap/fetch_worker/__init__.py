"""The fetch worker's process: opens the queue and hands it to run_fetch_worker."""

from mousetrap.fetch_worker.main import main

__all__ = ["main"]
