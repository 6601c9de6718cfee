"""Keeps in the store what workers say of themselves and what was seen of their queues, and tells what follows from it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from redis.asyncio import Redis

from mousetrap.jobs import Backlog
from mousetrap.store_client import address, open_client, reaching
from mousetrap.worker_registry.beat import Beat, WorkerSeen, read_worker

#: Milliseconds that a worker which fell silent is still listed, and that a look at a queue counts.
_KEPT = 3_600_000

_NAMES = "mousetrap:workers"
#: The server's clock is the only one. KEYS: names, worker. ARGV: name, beat, milliseconds to keep.
_BEAT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSETNX', KEYS[2], 'started_ms', now)
redis.call('HSET', KEYS[2], 'seen_ms', now, 'beat', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""
#: What is kept of a queue is one time: nothing that waits in it now began to before that. KEYS: queue. ARGV: how many wait,
#: since when at the earliest (0 where that is not known), milliseconds to keep. Returns the time of the longest wait.
_LOOK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), math.min(tonumber(ARGV[2]), now))
if ARGV[1] == '0' or since == 0 then since = now end
redis.call('SET', KEYS[1], string.format('%d', since), 'PX', ARGV[3])
return now - since
"""


@asynccontextmanager
async def open_registry(url: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator["WorkerRegistry"]:
    """The registry in the store at `url`, which need not be reachable yet."""
    client = open_client(url, tls)
    try:
        yield WorkerRegistry(client, address(url))
    finally:
        await client.aclose()


class WorkerRegistry:
    """Every method raises StoreUnreachable when the server does not answer within two seconds."""

    def __init__(self, client: Redis, place: str) -> None:
        self._client = client
        self._place = place
        self._beat = client.register_script(_BEAT)
        self._look = client.register_script(_LOOK)

    async def beat(self, beat: Beat) -> None:
        """Notes what a worker does now; it is listed until it leaves, or an hour after its last beat."""
        with reaching(self._place):
            await self._beat([_NAMES, _key(beat.name)], [beat.name, msgspec.json.encode(beat), _KEPT])

    async def leave(self, name: str) -> None:
        """Forgets a worker, which has ended in order."""
        with reaching(self._place):
            async with self._client.pipeline() as pipe:
                pipe.delete(_key(name))
                pipe.zrem(_NAMES, name)
                await pipe.execute()

    async def look(self, queue: str, backlog: Backlog) -> float:
        """Notes what was seen of a queue. Returns how many seconds the oldest of it can have waited."""
        seen = (backlog.ready, backlog.since_ms or 0)
        with reaching(self._place):
            waited = await self._look([f"mousetrap:waiting:{queue}"], [*seen, _KEPT])
        return int(waited) / 1000

    async def workers(self) -> tuple[WorkerSeen, ...]:
        """All workers, by name; those that fell silent without leaving are stale."""
        with reaching(self._place):
            found = await self._client.zrange(_NAMES, 0, -1)
            names = sorted(name.decode() for name in found if isinstance(name, bytes))
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.time()
                for name in names:
                    pipe.hmget(_key(name), "beat", "started_ms", "seen_ms")
                (seconds, microseconds), *known = await pipe.execute()
        now_ms = seconds * 1000 + microseconds // 1000
        seen = [
            read_worker(said, started_ms=int(started), seen_ms=int(last), now_ms=now_ms)
            for said, started, last in known
            if said is not None  # it left between the two questions
        ]
        return tuple(worker for worker in seen if worker is not None)


def _key(name: str) -> str:
    return f"mousetrap:worker:{name}"
