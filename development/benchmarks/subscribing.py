"""Measures how fast workers subscribe to ten queues of RabbitMQ.

On one node: `PYTHONPATH=development:test .venv/bin/python -m benchmarks.subscribing`; with `--cluster` on three. Other nodes must not run beside it.
"""

import argparse
import asyncio
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mousetrap.job_queue import connect
from mousetrap.jobs import QueueOptions
from support.rabbitmq_cluster import RabbitMQCluster
from support.rabbitmq_node import RabbitMQNode

QUEUES = [f"q{number}" for number in range(10)]
WORKERS = 6


async def subscribe(url: str) -> None:
    """As a worker does that starts."""
    async with connect(url, QUEUES, name="bench", options=QueueOptions()) as queue:
        for name in QUEUES:
            subscription = await queue.consume(name, 10, lambda _: None)
            await subscription.begun()


async def measure(url: str) -> None:
    """Prints seconds, and seconds of the nodes' processors: of the first worker on an empty broker, then of several at once."""
    for workers in (1, 1, WORKERS):
        began, before = time.monotonic(), cpu_s()
        await asyncio.gather(*(subscribe(url) for _ in range(workers)))
        print(
            f"{workers} at once: {time.monotonic() - began:.2f} s, brokers {cpu_s() - before:.2f} s",
            flush=True,
        )


def cpu_s() -> float:
    """What all nodes of this machine have used."""
    pids = subprocess.run(["pgrep", "beam.smp"], check=True, capture_output=True, text=True).stdout.split()
    return sum(sum(map(int, _fields(pid)[11:13])) for pid in pids) / 100


def _fields(pid: str) -> Sequence[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cluster", action="store_true")
    node_class = RabbitMQCluster if parser.parse_args().cluster else RabbitMQNode
    with TemporaryDirectory() as folder:
        node = node_class(Path(folder))
        try:
            asyncio.run(measure(node.url))
        finally:
            node.remove()


if __name__ == "__main__":
    main()
