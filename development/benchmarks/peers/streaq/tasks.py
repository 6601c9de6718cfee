"""Two streaQ tasks on our runs' store, acknowledged after work."""

import asyncio

from streaq import Worker

from benchmarks.contending import FIRST, LAST, Counter, number, order, word

ORDER = order()
COUNTER = Counter(ORDER.counts)
CONCURRENCY = number("CONCURRENCY", 100)

worker = Worker(
    redis_url=ORDER.store.replace("valkey", "redis", 1),
    concurrency=CONCURRENCY,
    sync_concurrency=number("THREADS", 8),
    prefetch=number("PREFETCH", CONCURRENCY),
    anyio_kwargs={"use_uvloop": True},
)
#: A handler in a thread cannot await the next `enqueue`; then `then` hands on.
EXPLICIT = word("CHAIN", "explicit") == "explicit" and ORDER.handler != "sync"


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
        await second.enqueue(payload)
    return payload


def last_in_a_thread(payload: str) -> None:
    """Does nothing, in a thread."""
    COUNTER.tick(LAST)


def hand_on_from_a_thread(payload: str) -> str:
    """Does nothing, in a thread."""
    COUNTER.tick(FIRST)
    return payload


in_threads = ORDER.handler == "sync"
TTL = number("TTL", 0 if EXPLICIT else 300)
second = worker.task(name="second", silent=True, ttl=TTL)(last_in_a_thread if in_threads else last)
first = worker.task(name="first", silent=True, ttl=TTL)(hand_on_from_a_thread if in_threads else hand_on)


async def submit_some(runs: int) -> None:
    """Starts that many runs."""
    if EXPLICIT:
        await worker.enqueue_many([first.enqueue(ORDER.payload) for _ in range(runs)])
    else:
        for _ in range(runs):
            await first.enqueue(ORDER.payload).then(second)
