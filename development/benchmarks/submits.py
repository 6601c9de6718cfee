"""Submits runs in one process, 200 at a time; prints the rate."""

import asyncio
import json
import sys
import time

from benchmarks.ours import submit


async def measure(runs: int) -> dict[str, float]:
    """As a program does that has many runs to start at once."""
    await submit(200)  # declares and warms
    began, cpu = time.perf_counter(), time.process_time()
    await submit(runs)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"rate": runs / seconds, "cpu_us": cpu / runs * 1e6}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(int(sys.argv[1])))))
