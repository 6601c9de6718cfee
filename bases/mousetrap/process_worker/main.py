"""Starts the process worker."""

from mousetrap.catalogue import PIPELINES, SETTINGS
from mousetrap.job_queue import open_queue
from mousetrap.run_process_worker import run_process_worker


def main() -> int:
    """Runs until SIGTERM or SIGINT. Returns 0, 75 when unfinished work was handed back, 70 when a handler hangs, 2 for a
    wrong setting.
    """
    return run_process_worker(open_queue, SETTINGS, PIPELINES.values())
