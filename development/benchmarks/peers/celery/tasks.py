"""Two Celery tasks on durable queues, acknowledged after work, confirmed."""

import time

from celery import Celery, chain
from kombu import Queue

from benchmarks.contending import FIRST, LAST, Counter, number, order, word

ORDER = order()
COUNTER = Counter(ORDER.counts)
THREADS = number("CONCURRENCY", 100 if ORDER.handler == "sleep" else 8)

KIND = {"x-queue-type": word("QUEUE_TYPE", "classic")}
app = Celery("bench", broker=ORDER.broker)
app.conf.update(
    task_queues=[Queue(name, durable=True, queue_arguments=KIND) for name in ("first", "second")],
    task_routes={"first": {"queue": "first"}, "second": {"queue": "second"}},
    task_default_queue="first",
    task_default_delivery_mode="persistent",
    task_acks_late=True,
    task_ignore_result=True,
    task_create_missing_queues=False,
    worker_prefetch_multiplier=number("MULTIPLIER", 8),
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    worker_enable_native_delayed_delivery=False,
    broker_transport_options={"confirm_publish": True},
    broker_pool_limit=number("POOL", THREADS + 2),
    broker_connection_retry_on_startup=True,
)
EXPLICIT = word("CHAIN", "explicit") == "explicit"


@app.task(name="first")
def first(payload: str) -> str:
    """Does nothing."""
    if ORDER.handler == "sleep":
        time.sleep(0.01)
    COUNTER.tick(FIRST)
    if EXPLICIT:
        second.delay(payload)
    return payload


@app.task(name="second")
def second(payload: str) -> str:
    """Does nothing."""
    if ORDER.handler == "sleep":
        time.sleep(0.01)
    COUNTER.tick(LAST)
    return payload


def submit_one() -> None:
    """Starts a run."""
    if EXPLICIT:
        first.delay(ORDER.payload)
    else:
        chain(first.s(ORDER.payload), second.s()).apply_async()
