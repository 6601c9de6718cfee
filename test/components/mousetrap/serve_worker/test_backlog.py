"""A worker's heartbeat reports how long jobs wait in its queues."""

import asyncio
import time

import pytest
from redis import Redis

from mousetrap.job_queue import connect
from mousetrap.jobs import Backlog, Message
from mousetrap.serve_worker.heartbeat import Heartbeat
from mousetrap.serve_worker.vitals import Vitals
from mousetrap.worker import WorkerStats
from mousetrap.worker_registry import open_registry
from support.heartbeats import a_heartbeat
from support.inbox import Inbox, eventually
from support.valkey import administrator

pytestmark = pytest.mark.servers
(QUEUE,) = a_heartbeat().queues


@pytest.mark.parametrize("kind", ["broker_url", "store_url"])
async def test_a_worker_s_heartbeats_report_how_long_the_rest_of_its_queue_waits(
    request: pytest.FixtureRequest, store_url: str, kind: str
) -> None:
    url = request.getfixturevalue(kind)

    async def has_reported() -> bool:
        with Redis.from_url(administrator(store_url)) as client:
            return bool(client.exists(f"mousetrap:waiting:{QUEUE}"))

    async with connect(url, [QUEUE], name="test") as queue, open_registry(store_url) as registry:
        before = time.time()
        await queue.publish(QUEUE, Message("taken", b"x"))
        await queue.publish(QUEUE, Message("waits", b"x"))
        published = time.time()
        inbox = Inbox()
        await queue.consume(QUEUE, 1, inbox)
        await inbox.take()
        await eventually(lambda: queue.count_ready(QUEUE), 1)
        vitals = Vitals(stats=WorkerStats(), auto_kill_s=60)
        heartbeat = asyncio.create_task(Heartbeat(a_heartbeat(), vitals, queue, registry, 60).beat_forever())
        await eventually(has_reported, True)

        now = time.time()
        waited = await registry.look(QUEUE, Backlog(1, None))  # as a worker that takes nothing from it

        # A message on RabbitMQ knows its second, and no less.
        assert now - published <= waited + 0.001 <= time.time() - before + 1
        heartbeat.cancel()
