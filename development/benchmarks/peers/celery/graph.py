"""A Celery chord that a task starts; results in our runs' store."""

import os
import sys

from celery import chord
from kombu import Queue

from benchmarks.contending import FIRST, LAST
from benchmarks.peers.celery.tasks import COUNTER, KIND, ORDER, THREADS, app
from benchmarks.peers.talk import answer

NAMES = ("start", "child", "join")
app.conf.update(
    result_backend=ORDER.store.replace("valkey", "redis", 1),
    task_queues=[Queue(name, durable=True, queue_arguments=KIND) for name in NAMES],
    task_routes={name: {"queue": name} for name in NAMES},
    task_default_queue="start",
)


@app.task(name="start")
def start(children: int) -> None:
    """Fans out."""
    COUNTER.tick(FIRST, 0)
    chord([child.s(ORDER.payload) for _ in range(children)], join.s()).apply_async()


@app.task(name="child", ignore_result=False)
def child(payload: str) -> str:
    """Does nothing."""
    COUNTER.tick(FIRST)
    return payload


@app.task(name="join")
def join(outputs: list[str]) -> None:
    """Counts the outputs."""
    COUNTER.tick(LAST, len(outputs))


def work() -> None:
    """Becomes Celery's own worker."""
    command = f"""-m celery -A benchmarks.peers.celery.graph worker --loglevel WARNING
        --pool threads --concurrency {THREADS} --queues {",".join(NAMES)}
        --without-gossip --without-mingle --without-heartbeat"""
    os.execv(sys.executable, [sys.executable, *command.split()])


if __name__ == "__main__":
    answer(work=work, submit=start.delay)
