"""Keeps in the store what workers say of themselves and what was seen of their queues, and tells what follows from it."""

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from mousetrap.jobs import Backlog
from mousetrap.shapes import Beat, Worker
from mousetrap.store_client import address, open_client, reaching
from mousetrap.worker_registry.beat import read_worker

#: Milliseconds that a worker which fell silent is still listed, and that a look at a queue counts.
_KEPT = 3_600_000

_log = logging.getLogger("mousetrap.worker_registry")

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
local known = redis.pcall('GET', KEYS[1])
-- Neither a damaged value nor one of before the clock was set back counts.
local since = math.min(math.max(type(known) == 'string' and tonumber(known) or 0, tonumber(ARGV[2])), now)
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

    async def workers(self) -> tuple[Worker, ...]:
        """All workers, by name; those that fell silent without leaving are stale."""
        with reaching(self._place):
            found = await self._client.zrange(_NAMES, 0, -1)
            names = sorted(name.decode(errors="replace") for name in found if isinstance(name, bytes))
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.time()
                for name in names:
                    pipe.hmget(_key(name), "beat", "started_ms", "seen_ms")
                (seconds, microseconds), *known = await pipe.execute(raise_on_error=False)
        now_ms = seconds * 1000 + microseconds // 1000
        seen = [_seen(name, answer, now_ms) for name, answer in zip(names, known, strict=True)]
        return tuple(worker for worker in seen if worker is not None)


def _seen(name: str, answer: Any, now_ms: int) -> Worker | None:
    """A worker by what the store holds of it; None where that cannot be read, or where it left between two questions."""
    if isinstance(answer, ResponseError):
        _log.warning("what the store holds of worker %s cannot be read: %s", name, answer)
        return None
    said, *times = answer
    if said is None:
        return None
    if not all(isinstance(time, bytes) and time.isdigit() and len(time) <= 15 for time in times):
        _log.warning("what the store holds of worker %s cannot be read: its times are no numbers", name)
        return None
    started, last = map(int, times)
    return read_worker(said, started_ms=started, seen_ms=last, now_ms=now_ms)


def _key(name: str) -> str:
    return f"mousetrap:worker:{name}"
