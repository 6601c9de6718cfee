"""A Dramatiq group that an actor starts; counted in our runs' store."""

import os
import sys

import dramatiq
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend

from benchmarks.contending import FIRST, LAST
from benchmarks.peers.dramatiq.tasks import COUNTER, ORDER, PREFETCH, THREADS, broker
from benchmarks.peers.talk import answer

broker.add_middleware(GroupCallbacks(RedisBackend(url=ORDER.store.replace("valkey", "redis", 1))))


@dramatiq.actor(queue_name="start")
def start(children: int) -> None:
    """Fans out."""
    COUNTER.tick(FIRST, 0)
    group = dramatiq.group([child.message(ORDER.payload) for _ in range(children)])
    group.add_completion_callback(join.message(children))
    group.run()


@dramatiq.actor(queue_name="child")
def child(payload: str) -> None:
    """Does nothing; what it returned would go nowhere."""
    COUNTER.tick(FIRST)


@dramatiq.actor(queue_name="join")
def join(children: int) -> None:
    """Gets no outputs, and counts as many as there were to be."""
    COUNTER.tick(LAST, children)


def work() -> None:
    """Becomes Dramatiq's own worker: a parent, and one process that works."""
    os.environ["dramatiq_queue_prefetch"] = str(PREFETCH)  # noqa: SIM112  its name
    command = f"""-m dramatiq benchmarks.peers.dramatiq.graph --queues start child join
        --processes 1 --threads {THREADS} --skip-logging"""
    os.execv(sys.executable, [sys.executable, *command.split()])


if __name__ == "__main__":
    answer(work=work, submit=start.send)
