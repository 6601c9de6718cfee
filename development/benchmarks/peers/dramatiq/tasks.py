"""Two Dramatiq actors on durable queues, acknowledged after work, confirmed."""

import time

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import Pipelines, Retries, ShutdownNotifications

from benchmarks.contending import FIRST, LAST, Counter, number, order, word

ORDER = order()
COUNTER = Counter(ORDER.counts)
THREADS = number("CONCURRENCY", 100 if ORDER.handler == "sleep" else 8)
PREFETCH = number("PREFETCH", 200)

broker = RabbitmqBroker(
    url=ORDER.broker, confirm_delivery=True, middleware=[Retries(), Pipelines(), ShutdownNotifications()]
)
dramatiq.set_broker(broker)
EXPLICIT = word("CHAIN", "own") == "explicit"


@dramatiq.actor(queue_name="first")
def first(payload: str) -> str:
    """Does nothing."""
    if ORDER.handler == "sleep":
        time.sleep(0.01)
    COUNTER.tick(FIRST)
    if EXPLICIT:
        second.send(payload)
    return payload


@dramatiq.actor(queue_name="second")
def second(payload: str) -> None:
    """Does nothing."""
    if ORDER.handler == "sleep":
        time.sleep(0.01)
    COUNTER.tick(LAST)


def submit_one() -> None:
    """Starts a run."""
    if EXPLICIT:
        first.send(ORDER.payload)
    else:
        dramatiq.pipeline([first.message(ORDER.payload), second.message()]).run()
