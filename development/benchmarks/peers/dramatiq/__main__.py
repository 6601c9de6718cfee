"""What the driver asks of Dramatiq."""

import os
import sys

from benchmarks.peers.dramatiq.tasks import ORDER, PREFETCH, THREADS, submit_one
from benchmarks.peers.talk import IdleRuns, answer


def work() -> None:
    """Becomes Dramatiq's own worker: a parent, and one process that works."""
    os.environ["dramatiq_queue_prefetch"] = str(PREFETCH)  # noqa: SIM112  its name
    command = f"-m dramatiq benchmarks.peers.dramatiq.tasks --processes 1 --threads {THREADS} --skip-logging"
    os.execv(sys.executable, [sys.executable, *command.split()])


def submit(runs: int) -> None:
    """Puts that many runs in the queue."""
    for _ in range(runs):
        submit_one()


def latency(runs: int) -> list[float]:
    """Milliseconds of one run after another."""
    idle = IdleRuns(ORDER)
    for _ in range(runs):
        idle.submitting()
        submit_one()
        idle.wait()
    return idle.took


if __name__ == "__main__":
    answer(work=work, submit=submit, latency=latency)
