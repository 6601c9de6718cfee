"""What the driver asks of Celery."""

import os
import sys

from benchmarks.peers.celery.tasks import ORDER, THREADS, submit_one
from benchmarks.peers.talk import IdleRuns, answer


def work() -> None:
    """Becomes Celery's own worker."""
    command = f"""-m celery -A benchmarks.peers.celery.tasks worker --loglevel WARNING
        --pool threads --concurrency {THREADS} --queues first,second
        --without-gossip --without-mingle --without-heartbeat"""
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
