"""What the driver asks of streaQ."""

import os
import sys

import uvloop

from benchmarks.peers.streaq.tasks import ORDER, submit_some, worker
from benchmarks.peers.talk import IdleRuns, answer


def work() -> None:
    """Becomes streaQ's own worker."""
    command = "-m streaq run benchmarks.peers.streaq.tasks:worker"
    os.execv(sys.executable, [sys.executable, *command.split()])


async def _submit(runs: int) -> None:
    async with worker:
        for start in range(0, runs, 200):
            await submit_some(min(200, runs - start))


async def _latency(runs: int) -> list[float]:
    async with worker:
        idle = IdleRuns(ORDER)
        for _ in range(runs):
            idle.submitting()
            await submit_some(1)
            idle.wait()
        return idle.took


async def _left() -> int:
    async with worker:
        return await worker.queue_size()


if __name__ == "__main__":
    answer(
        work=work,
        submit=lambda runs: uvloop.run(_submit(runs)),
        latency=lambda runs: uvloop.run(_latency(runs)),
        left=lambda: uvloop.run(_left()),
    )
