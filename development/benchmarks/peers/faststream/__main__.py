"""What the driver asks of FastStream."""

import asyncio
import os
import sys

import uvloop

from benchmarks.peers.faststream.tasks import ORDER, QUEUES, broker, submit_one
from benchmarks.peers.talk import IdleRuns, answer


def work() -> None:
    """Becomes FastStream's own runner, which uses uvloop where it is installed."""
    command = ["-m", "faststream", "run", "benchmarks.peers.faststream.tasks:app", "--log-level", "warning"]
    command = "-m faststream run benchmarks.peers.faststream.tasks:app --log-level warning"
    os.execv(sys.executable, [sys.executable, *command.split()])


async def _connect() -> None:
    await broker.connect()
    for queue in QUEUES:
        await broker.declare_queue(queue)


async def _submit(runs: int) -> None:
    await _connect()
    for start in range(0, runs, 100):
        await asyncio.gather(*(submit_one() for _ in range(start, min(runs, start + 100))))
    await broker.stop()


async def _latency(runs: int) -> list[float]:
    await _connect()
    idle = IdleRuns(ORDER)
    for _ in range(runs):
        idle.submitting()
        await submit_one()
        idle.wait()
    await broker.stop()
    return idle.took


if __name__ == "__main__":
    answer(
        work=work,
        submit=lambda runs: uvloop.run(_submit(runs)),
        latency=lambda runs: uvloop.run(_latency(runs)),
    )
