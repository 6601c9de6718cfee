"""Keeps workers' heartbeats and the age of queues in the store."""

import logging
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from mousetrap.jobs import Backlog
from mousetrap.shapes import Beat, Worker
from mousetrap.store_client import (
    Command,
    Library,
    ReplyError,
    StoreClient,
    address,
    open_client,
    reaching,
)
from mousetrap.worker_registry.beat import read_in_use, read_worker
from mousetrap.worker_registry.published import NOTHING, InUse, Published

#: How long a stale worker is still listed, and an observation of a queue is used.
_KEEP_MS = 3_600_000
#: How long manifests are kept after the last beat of a worker with them.
MANIFEST_KEEP_MS = 7 * 86_400_000

_log = logging.getLogger("mousetrap.worker_registry")

_NAMES = "mousetrap:workers"
_MANIFESTS = "mousetrap:manifests"
_LIBRARY = Library.read("mousetrap_registry", "mousetrap.worker_registry", ["registry.lua"])


@asynccontextmanager
async def open_registry(
    url: str, *, tls: ssl.SSLContext | None = None, published: Published = NOTHING
) -> AsyncIterator["WorkerRegistry"]:
    """The registry in the store at `url`, which need not be reachable yet; workers that beat in it have `published`."""
    client = open_client(url, tls)
    try:
        yield WorkerRegistry(client, address(url), published)
    finally:
        await client.close()


class WorkerRegistry:
    """Workers and queues in the store. Every method raises StoreUnreachable if the server does not answer within two seconds."""

    def __init__(self, client: StoreClient, place: str, published: Published) -> None:
        #: The client of the store and where that is: others of this process share it.
        self.client = client
        self.place = place
        self._published = published

    async def beat(self, beat: Beat) -> None:
        """Records a heartbeat. The worker is listed until it leaves, or for an hour after its last heartbeat.

        Its manifests are sent when the store lacks them. They stay for a week after the last beat of a worker with them,
        whether it leaves or not.
        """
        digest = self._published.digest
        with reaching(self.place):
            now = int(
                await _LIBRARY.call(
                    self.client.call,
                    *(msgspec.json.encode(beat), _KEEP_MS, digest),
                    function="_beat",
                    keys=[_key(beat.name)],
                )
            )
            commands = _listed(_NAMES, beat.name, now, _KEEP_MS)
            if digest:
                await self._keep_manifests()  # first: who lists this worker finds its pipelines
                commands += _listed(_MANIFESTS, digest, now, MANIFEST_KEEP_MS)
            await self._all(commands)

    async def _keep_manifests(self) -> None:
        """Sends its manifests where the store lacks them."""
        key = _manifests(self._published.digest)
        if not await self.client.call("PEXPIRE", key, MANIFEST_KEEP_MS):
            await self.client.call("SET", key, self._published.record, "PX", MANIFEST_KEEP_MS)

    async def _all(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands for different keys. Raises the first error."""
        replies = await self.client.pipeline(commands)
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
        return replies

    async def leave(self, name: str) -> None:
        """Removes a worker that has ended in order."""
        with reaching(self.place):
            await self._all([("ZREM", _NAMES, name), ("DEL", _key(name))])

    async def look(self, queue: str, backlog: Backlog) -> float:
        """Records what a worker observed of a queue. Returns how many seconds its oldest message can have waited."""
        return (await self.look_at_each({queue: backlog}))[queue]

    async def look_at_each(self, backlogs: Mapping[str, Backlog]) -> Mapping[str, float]:
        """The same of many queues, sent together."""
        with reaching(self.place):
            calls = [
                (f"mousetrap:waiting:{queue}", it.ready, it.since_ms or 0, _KEEP_MS)
                for queue, it in backlogs.items()
            ]
            waited = await _LIBRARY.call_each(self.client.pipeline, calls, function="_observe")
        return {queue: int(each) / 1000 for queue, each in zip(backlogs, waited, strict=True)}

    async def workers(self) -> tuple[Worker, ...]:
        """All workers, by name; those without heartbeats that did not leave are stale."""
        with reaching(self.place):
            found = await self.client.call("ZRANGE", _NAMES, 0, -1)
            names = sorted(name.decode(errors="replace") for name in found)
            looks = [("HMGET", _key(name), "beat", "started_ms", "seen_ms") for name in names]
            time, *known = _reached(await self.client.pipeline([("TIME",), *looks]))
            now_ms = _milliseconds(time)
        seen = [_seen(name, answer, now_ms) for name, answer in zip(names, known, strict=True)]
        return tuple(worker for worker in seen if worker is not None)

    async def in_use(self) -> tuple[InUse, ...]:
        """All manifests that workers had within a week, and the live workers that have them now."""
        with reaching(self.place):
            found = await self.client.call("ZRANGE", _NAMES, 0, -1)
            keys = [_key(name.decode(errors="replace")) for name in found]
            looks = [("HMGET", key, "manifests", "started_ms", "seen_ms") for key in keys]
            manifests = ("ZRANGE", _MANIFESTS, 0, -1, "WITHSCORES")
            time, digests, *records = _reached(await self.client.pipeline([("TIME",), manifests, *looks]))
            now_ms = _milliseconds(time)
        listed = (
            list(zip(digests[::2], map(float, digests[1::2]), strict=True))
            if isinstance(digests, list)
            else ()
        )
        return read_in_use(dict(zip(found, records, strict=True)), listed, now_ms)

    async def manifests(self, digest: str) -> Published | None:
        """The manifests of this digest; None where the store does not have them."""
        with reaching(self.place):
            record = await self.client.call("GET", _manifests(digest))
        return Published.read(record) if isinstance(record, bytes) else None


def _listed(key: str, member: str, now: int, keep_ms: int) -> list[Command]:
    """Names a member as of now, and removes those that were named too long ago."""
    return [
        ("ZADD", key, now, member),
        ("ZREMRANGEBYSCORE", key, "-inf", now - keep_ms),
        ("PEXPIRE", key, keep_ms),
    ]


def _reached(replies: list[Any]) -> list[Any]:
    """The replies. Raises the error of a server of a cluster that is away: a live worker of its would be left out."""
    for reply in replies:
        if isinstance(reply, ReplyError) and reply.passing:
            raise reply
    return replies


def _seen(name: str, answer: Any, now_ms: int) -> Worker | None:
    """The worker of a record; None if it cannot be read, or if the worker left between two commands."""
    if isinstance(answer, ReplyError):
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


def _milliseconds(time: Any) -> int:
    """The reply to TIME. Raises the error that it is."""
    if isinstance(time, ReplyError):
        raise time
    seconds, microseconds = map(int, time)
    return seconds * 1000 + microseconds // 1000


def _manifests(digest: str) -> str:
    return f"mousetrap:manifests:{digest}"


def _key(name: str) -> str:
    return f"mousetrap:worker:{name}"
