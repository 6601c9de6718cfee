"""A join of streaQ `after` its children, all in our runs' store."""

import os
import sys

import uvloop
from streaq import TaskStatus

from benchmarks.contending import FIRST, LAST, number
from benchmarks.peers.streaq.tasks import COUNTER, ORDER, worker
from benchmarks.peers.talk import answer

#: Children that are enqueued at once.
WINDOW = number("WINDOW", 200)


@worker.task(name="start", silent=True, ttl=0)
async def start(children: int) -> None:
    """Fans out."""
    COUNTER.tick(FIRST, 0)
    tasks = [child.enqueue(ORDER.payload) for _ in range(children)]
    for first in range(0, children, WINDOW):
        await worker.enqueue_many(tasks[first : first + WINDOW])
    ids = [task.id for task in tasks]
    await join.enqueue(ids).start(after=ids)


@worker.task(name="child", silent=True)
async def child(payload: str) -> str:
    """Does nothing."""
    COUNTER.tick(FIRST)
    return payload


@worker.task(name="join", silent=True, ttl=0)
async def join(ids: list[str]) -> None:
    """Gets the outputs, and counts them.

    All that is done in the queue, in one call: to ask for fifty results by their ids took 0.4 s.
    """
    wanted = set(ids)
    results = await worker.get_tasks_by_status(TaskStatus.DONE, limit=len(ids))
    COUNTER.tick(LAST, sum(each.success for each in results if each.task_id in wanted))


def work() -> None:
    """Becomes streaQ's own worker."""
    command = "-m streaq run benchmarks.peers.streaq.graph:worker"
    os.execv(sys.executable, [sys.executable, *command.split()])


async def _submit(children: int) -> None:
    async with worker:
        await start.enqueue(children)


async def _left() -> int:
    async with worker:
        return await worker.queue_size()


if __name__ == "__main__":
    answer(
        work=work,
        submit=lambda children: uvloop.run(_submit(children)),
        left=lambda: uvloop.run(_left()),
    )
