"""Keeps workers' heartbeats and the age of queues in the store."""

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
from mousetrap.store_client import Library, address, open_client, reaching
from mousetrap.worker_registry.beat import read_worker

#: How long a stale worker is still listed, and an observation of a queue is used.
_KEEP_MS = 3_600_000

_log = logging.getLogger("mousetrap.worker_registry")

_NAMES = "mousetrap:workers"
_LIBRARY = Library.read("mousetrap_registry", "mousetrap.worker_registry", ["registry.lua"])


@asynccontextmanager
async def open_registry(url: str, *, tls: ssl.SSLContext | None = None) -> AsyncIterator["WorkerRegistry"]:
    """The registry in the store at `url`, which need not be reachable yet."""
    client = open_client(url, tls)
    try:
        yield WorkerRegistry(client, address(url))
    finally:
        await client.aclose()


class WorkerRegistry:
    """Workers and queues in the store. Every method raises StoreUnreachable if the server does not answer within two seconds."""

    def __init__(self, client: Redis, place: str) -> None:
        self._client = client
        self._place = place

    async def beat(self, beat: Beat) -> None:
        """Records a heartbeat. The worker is listed until it leaves, or for an hour after its last heartbeat."""
        with reaching(self._place):
            await _LIBRARY.call(
                self._client.execute_command,
                *(beat.name, msgspec.json.encode(beat), _KEEP_MS),
                function="_beat",
                keys=[_NAMES, _key(beat.name)],
            )

    async def leave(self, name: str) -> None:
        """Removes a worker that has ended in order."""
        with reaching(self._place):
            async with self._client.pipeline() as pipe:
                pipe.delete(_key(name))
                pipe.zrem(_NAMES, name)
                await pipe.execute()

    async def look(self, queue: str, backlog: Backlog) -> float:
        """Records what a worker observed of a queue. Returns how many seconds its oldest message can have waited."""
        seen = (backlog.ready, backlog.since_ms or 0)
        with reaching(self._place):
            waited = await _LIBRARY.call(
                self._client.execute_command,
                *(*seen, _KEEP_MS),
                function="_observe",
                keys=[f"mousetrap:waiting:{queue}"],
            )
        return int(waited) / 1000

    async def workers(self) -> tuple[Worker, ...]:
        """All workers, by name; those without heartbeats that did not leave are stale."""
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
    """The worker of a record; None if it cannot be read, or if the worker left between two commands."""
    if isinstance(answer, ResponseError):
        _log.warning("the record of worker %s in the store cannot be read: %s", name, answer)
        return None
    beat, *times = answer
    if beat is None:
        return None
    if not all(isinstance(time, bytes) and time.isdigit() and len(time) <= 15 for time in times):
        _log.warning("the record of worker %s in the store cannot be read: its times are no numbers", name)
        return None
    started, last = map(int, times)
    return read_worker(beat, started_ms=started, seen_ms=last, now_ms=now_ms)


def _key(name: str) -> str:
    return f"mousetrap:worker:{name}"
