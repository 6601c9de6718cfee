"""Two FastStream subscribers on durable queues, persistent and confirmed."""

import asyncio
import logging

from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from benchmarks.contending import FIRST, LAST, Counter, number, order, word

ORDER = order()
COUNTER = Counter(ORDER.counts)

broker = RabbitBroker(
    ORDER.broker,
    default_channel=Channel(
        prefetch_count=number("PREFETCH", 50 if ORDER.handler == "sleep" else 30),
        publisher_confirms=True,
        on_return_raises=True,
    ),
    ack_policy=AckPolicy.NACK_ON_ERROR,
    apply_types=word("APPLY_TYPES", "no") == "yes",
    logger=None if word("LOGGER", "no") == "no" else logging.getLogger("bench"),
)
app = FastStream(broker, logger=None)
QUEUES = [
    RabbitQueue(name, durable=True, queue_type=QueueType(word("QUEUE_TYPE", "classic")))
    for name in ("first", "second")
]
EXPLICIT = word("CHAIN", "own") == "explicit"


async def first(payload: str) -> str:
    """Does nothing."""
    if ORDER.handler == "sleep":
        await asyncio.sleep(0.01)
    COUNTER.tick(FIRST)
    return payload


async def second(payload: str) -> None:
    """Does nothing."""
    if ORDER.handler == "sleep":
        await asyncio.sleep(0.01)
    COUNTER.tick(LAST)


async def first_that_publishes(payload: str) -> None:
    """Does nothing, and hands on by itself."""
    await first(payload)
    await broker.publish(payload, QUEUES[LAST], persist=True)


def first_in_a_thread(payload: str) -> str:
    """Does nothing, in a thread."""
    COUNTER.tick(FIRST)
    return payload


def second_in_a_thread(payload: str) -> None:
    """Does nothing, in a thread."""
    COUNTER.tick(LAST)


in_threads = ORDER.handler == "sync"
if EXPLICIT:
    broker.subscriber(QUEUES[FIRST])(first_that_publishes)
else:
    handed_on = broker.publisher(QUEUES[LAST], persist=True)
    broker.subscriber(QUEUES[FIRST])(handed_on(first_in_a_thread if in_threads else first))
broker.subscriber(QUEUES[LAST])(second_in_a_thread if in_threads else second)


async def submit_one() -> None:
    """Starts a run."""
    await broker.publish(ORDER.payload, QUEUES[FIRST], persist=True)
