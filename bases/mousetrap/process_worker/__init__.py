"""The process worker's process: opens the queue and hands it to run_process_worker."""

from mousetrap.process_worker.main import main

__all__ = ["main"]
