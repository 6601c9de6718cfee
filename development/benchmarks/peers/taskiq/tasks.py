"""Two Taskiq tasks on durable queues, persistent and confirmed."""

import asyncio

from taskiq.serializers import ORJSONSerializer
from taskiq_aio_pika import AioPikaBroker
from taskiq_aio_pika.queue import Queue, QueueType
from taskiq_pipelines import Pipeline, PipelineMiddleware

from benchmarks.contending import FIRST, LAST, Counter, number, order, word

ORDER = order()
COUNTER = Counter(ORDER.counts)
PREFETCH = number("PREFETCH", 100)
#: A handler in a thread cannot await the next `kiq`; then taskiq-pipelines hands on.
EXPLICIT = word("CHAIN", "explicit") == "explicit" and ORDER.handler != "sync"

kind = QueueType(word("QUEUE_TYPE", "classic"))
broker = AioPikaBroker(
    ORDER.broker,
    qos=PREFETCH,
    task_queues=[Queue(name=name, type=kind) for name in ("first", "second")],
    dead_letter_queue=Queue(name="dead", type=kind),
).with_serializer(ORJSONSerializer())
if not EXPLICIT:
    broker = broker.with_middlewares(PipelineMiddleware())


async def last(payload: str) -> None:
    """Does nothing."""
    if ORDER.handler == "sleep":
        await asyncio.sleep(0.01)
    COUNTER.tick(LAST)


async def hand_on(payload: str) -> str:
    """Does nothing."""
    if ORDER.handler == "sleep":
        await asyncio.sleep(0.01)
    COUNTER.tick(FIRST)
    if EXPLICIT:
        await second.kiq(payload)
    return payload


def last_in_a_thread(payload: str) -> None:
    """Does nothing, in a thread."""
    COUNTER.tick(LAST)


def hand_on_from_a_thread(payload: str) -> str:
    """Does nothing, in a thread."""
    COUNTER.tick(FIRST)
    return payload


in_threads = ORDER.handler == "sync"
second = broker.register_task(
    last_in_a_thread if in_threads else last, task_name="second", queue_name="second"
)
first = broker.register_task(
    hand_on_from_a_thread if in_threads else hand_on, task_name="first", queue_name="first"
)


async def submit_one() -> None:
    """Starts a run."""
    if EXPLICIT:
        await first.kiq(ORDER.payload)
    else:
        await Pipeline(broker, first).call_next(second).kiq(ORDER.payload)
