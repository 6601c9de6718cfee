"""What the driver asks of Taskiq."""

import asyncio
import os
import sys

import uvloop

from benchmarks.contending import number
from benchmarks.peers.talk import IdleRuns, answer
from benchmarks.peers.taskiq.tasks import ORDER, broker, submit_one


def work() -> None:
    """Becomes Taskiq's own worker, which uses uvloop: a parent, and one process that works."""
    command = f"""-m taskiq worker benchmarks.peers.taskiq.tasks:broker --workers 1 --log-level WARNING
        --ack-type when_executed --no-parse --max-async-tasks {number("CONCURRENCY", 100)}
        --max-prefetch {number("AHEAD", 0)} --max-threadpool-threads {number("THREADS", 8)}"""
    os.execv(sys.executable, [sys.executable, *command.split()])


async def _submit(runs: int) -> None:
    await broker.startup()
    for start in range(0, runs, 100):
        await asyncio.gather(*(submit_one() for _ in range(start, min(runs, start + 100))))
    await broker.shutdown()


async def _latency(runs: int) -> list[float]:
    await broker.startup()
    idle = IdleRuns(ORDER)
    for _ in range(runs):
        idle.submitting()
        await submit_one()
        idle.wait()
    await broker.shutdown()
    return idle.took


if __name__ == "__main__":
    answer(
        work=work,
        submit=lambda runs: uvloop.run(_submit(runs)),
        latency=lambda runs: uvloop.run(_latency(runs)),
    )
