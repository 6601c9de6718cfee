"""How often a connection to RabbitMQ is written to."""

import asyncio

import pytest
from pika.adapters.base_connection import BaseConnection
from pika.frame import Heartbeat

from mousetrap.job_queue import connect
from mousetrap.job_queue.amqp.connection import Connection
from mousetrap.jobs import Message, Queue, high_queue
from support.inbox import Inbox, eventually
from support.workbench import TIMEOUT_S, connected

pytestmark = pytest.mark.servers


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What each write had, without heartbeats."""
    written: list[bytes] = []
    write = Connection._write

    def noted(connection: Connection, data: bytes) -> bytes:
        if data != Heartbeat().marshal():
            written.append(data)
        return write(connection, data)

    monkeypatch.setattr(Connection, "_write", noted)
    return written


async def consumers(queue: Queue, name: str) -> int:
    return (await queue.backlog(name)).consumers


async def test_the_posts_of_a_turn_leave_in_one_write_and_its_acknowledgements_in_another(
    broker_url: str, work: str, writes: list[bytes]
) -> None:
    settled: asyncio.Queue[object] = asyncio.Queue()
    async with connect(broker_url, [work], name="test") as queue:
        await connected(queue, work)
        inbox = Inbox()
        subscription = await queue.consume(work, 100, inbox)
        await subscription.begun()
        # The high queue is subscribed to a moment later, with writes of its own.
        await eventually(lambda: consumers(queue, high_queue(work)), 1)
        writes.clear()
        for n in range(100):
            queue.post(work, Message(f"m{n}", b"body"), settled.put_nowait)
        assert [await settled.get() for _ in range(100)] == [None] * 100
        deliveries = [await inbox.take() for _ in range(100)]
        assert [data.count(b"body") for data in writes] == [100]

        writes.clear()
        for delivery in deliveries:
            assert delivery.acknowledge()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [len(data) for data in writes] == [21]  # one frame that acknowledges


async def test_what_the_socket_does_not_take_at_once_follows_in_order(
    broker_url: str, work: str, writes: list[bytes]
) -> None:
    """Four bodies of 4 MiB are more than a socket's buffer; what comes after waits behind what is left of them."""
    sizes = [4 * 1024 * 1024] * 4 + [10] * 50
    async with connect(broker_url, [work], name="test") as queue:
        await connected(queue, work)
        await asyncio.gather(
            *(queue.publish(work, Message(f"m{n}", bytes(size))) for n, size in enumerate(sizes))
        )

        inbox = Inbox()
        await queue.consume(work, 100, inbox)
        deliveries = [await inbox.take() for _ in sizes]
        assert [(each.message.id, len(each.message.body)) for each in deliveries] == [
            (f"m{n}", size) for n, size in enumerate(sizes)
        ]


async def test_a_socket_that_the_event_loop_has_closed_is_a_lost_connection_at_once(
    broker_url: str, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As uvloop does where the broker resets the connection in the turn in which something is sent."""
    emit = BaseConnection._adapter_emit_data
    met: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

    def emit_or_not(connection: Connection, data: bytes) -> None:
        if met.done():
            emit(connection, data)
        else:
            met.set_result(connection)
            raise RuntimeError("the handler is closed")

    async with connect(broker_url, [work], name="test") as queue:
        await connected(queue, work)
        with monkeypatch.context() as patched:
            patched.setattr(Connection, "_write", lambda connection, data: data)
            patched.setattr(BaseConnection, "_adapter_emit_data", emit_or_not)
            publishing = asyncio.ensure_future(queue.publish(work, Message("m", b"body")))
            connection = await asyncio.wait_for(met, TIMEOUT_S)
            for _ in range(10):
                await asyncio.sleep(0)
            assert connection.lost.done()
        await asyncio.wait_for(publishing, TIMEOUT_S)
