"""Starts the fetch worker."""

from mousetrap.catalogue import PIPELINES, SETTINGS
from mousetrap.job_queue import open_queue
from mousetrap.run_fetch_worker import run_fetch_worker


def main() -> int:
    """Runs until SIGTERM or SIGINT. Returns 0, 75 when unfinished work was handed back, 70 when a handler hangs, 2 for a
    wrong setting.
    """
    return run_fetch_worker(open_queue, SETTINGS, PIPELINES.values())
