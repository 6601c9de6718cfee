"""Messages of another system pass as they are."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from mousetrap.job_queue import ForeignDelivery, ForeignMessage, ForeignQueues, QueueOptions, open_foreign
from mousetrap.jobs import PublishUnconfirmed, QueueFull, QueueUnreachable, Unroutable
from support.proxy import open_door
from support.waiting import until

HEADERS: dict[str, Any] = {
    "task": "t",
    "retries": 0,
    "eta": None,
    "timelimit": [None, 5],
    "stamps": {"a": [1]},
}
MESSAGE = ForeignMessage(body=b"[]", headers=HEADERS, correlation_id="c", reply_to="r", priority=7)


@asynccontextmanager
async def opened(url: str, deadline: float = 30.0) -> AsyncIterator[ForeignQueues]:
    async with open_foreign(url, name="test", options=QueueOptions(confirm_deadline=deadline)) as queues:
        yield queues


@contextmanager
def plain_channel(url: str) -> Iterator[BlockingChannel]:
    """A channel of plain pika."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        yield connection.channel()


def declare(url: str, queue: str, **arguments: Any) -> None:
    """As its own system declares it."""
    with plain_channel(url) as channel:
        channel.queue_declare(queue, durable=True, arguments=arguments)


def delete(url: str, queue: str) -> None:
    with plain_channel(url) as channel:
        channel.queue_delete(queue)


class Taken:
    """Deliveries, as they come."""

    def __init__(self) -> None:
        self._all: asyncio.Queue[ForeignDelivery] = asyncio.Queue()
        self.receive = self._all.put_nowait

    async def next(self) -> ForeignDelivery:
        async with asyncio.timeout(60):
            return await self._all.get()

    @property
    def empty(self) -> bool:
        return self._all.empty()


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_a_message_arrives_with_all_of_its_headers(broker_url: str, work: str, kind: str) -> None:
    declare(broker_url, work, **{"x-queue-type": kind})
    taken = Taken()
    async with opened(broker_url) as queues:
        queues.consume([work], 10, taken.receive)
        await queues.publish(work, MESSAGE)
        delivery = await taken.next()

        assert delivery.message == MESSAGE
        assert delivery.acknowledge()


async def test_a_queue_that_is_missing_is_waited_for(broker_url: str, work: str) -> None:
    taken = Taken()
    async with opened(broker_url) as queues:
        queues.consume([work], 10, taken.receive)
        with pytest.raises(Unroutable, match="the system that takes from it declares it"):
            await queues.publish(work, MESSAGE)
        await asyncio.to_thread(declare, broker_url, work)
        await queues.publish(work, MESSAGE)

        assert (await taken.next()).message == MESSAGE


async def test_while_a_queue_is_missing_or_deleted_the_others_keep_their_deliveries(
    broker_url: str, work: str, caplog: pytest.LogCaptureFixture
) -> None:
    declare(broker_url, work)
    other, taken = f"{work}_other", Taken()
    async with opened(broker_url) as queues:
        queues.consume([work, other], 10, taken.receive)
        await queues.publish(work, MESSAGE)
        held = await taken.next()
        await asyncio.to_thread(until, lambda: f"queue {other}: it is missing" in caplog.text, "it is named")
        for _ in range(2):  # the second time it was deleted
            await asyncio.to_thread(declare, broker_url, other)
            await queues.publish(other, MESSAGE)
            delivery = await taken.next()
            assert (delivery.queue, delivery.acknowledge()) == (other, True)
            await asyncio.to_thread(delete, broker_url, other)

        assert taken.empty and held.acknowledge()


async def test_what_was_stopped_is_left_alone_when_the_connection_is_opened_again(
    broker_url: str, work: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mousetrap.job_queue")
    declare(broker_url, work)
    taken = Taken()
    with open_door(broker_url, amqp=True) as door:
        async with opened(door.url) as queues:
            queues.consume([work], 10, taken.receive)
            await queues.publish(work, MESSAGE)
            assert (await taken.next()).acknowledge()
            await queues.stop()
            door.cut()
            await asyncio.to_thread(until, lambda: "can be used again" in caplog.text, "both are open again")
            with plain_channel(broker_url) as channel:
                assert channel.queue_declare(work, passive=True).method.consumer_count == 0


async def test_a_stop_ends_though_the_broker_does_not_answer(
    broker_url: str, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.job_queue.foreign._CANCEL_TIMEOUT_S", 0.1)
    declare(broker_url, work)
    taken = Taken()
    with open_door(broker_url, amqp=True) as door:
        async with opened(door.url) as queues:
            queues.consume([work], 10, taken.receive)
            await queues.publish(work, MESSAGE)
            delivery = await taken.next()
            door.stall()
            await queues.stop()

            assert delivery.is_void()


async def test_what_is_not_acknowledged_comes_again_when_the_connection_is_lost(
    broker_url: str, work: str
) -> None:
    declare(broker_url, work)
    taken = Taken()
    with open_door(broker_url, amqp=True) as door:
        async with opened(door.url) as queues:
            queues.consume([work], 10, taken.receive)
            await queues.publish(work, MESSAGE)
            first = await taken.next()
            door.cut()
            again = await taken.next()

            assert first.is_void() and not first.acknowledge()
            assert again.acknowledge()


async def test_after_a_stop_nothing_comes_and_what_came_is_acknowledged(broker_url: str, work: str) -> None:
    declare(broker_url, work)
    taken = Taken()
    async with opened(broker_url) as queues:
        queues.consume([work], 1, taken.receive)
        await queues.publish(work, MESSAGE)
        await queues.publish(work, MESSAGE)
        delivery = await taken.next()
        await queues.stop()
        assert delivery.acknowledge()
    assert taken.empty

    with plain_channel(broker_url) as channel:
        assert channel.queue_declare(work, passive=True).method.message_count == 1


async def test_many_are_confirmed_each(broker_url: str, work: str) -> None:
    declare(broker_url, work)
    async with opened(broker_url) as queues:
        sent = [queues.publish(work, MESSAGE) for _ in range(100)]
        missing = [queues.publish("missing", MESSAGE) for _ in range(100)]
        results = await asyncio.gather(*sent, *missing, return_exceptions=True)

    assert results[:100] == [None] * 100
    assert {type(each) for each in results[100:]} == {Unroutable}


async def test_a_full_queue_is_an_error(broker_url: str, work: str) -> None:
    declare(broker_url, work, **{"x-max-length": 1, "x-overflow": "reject-publish"})
    async with opened(broker_url) as queues:
        await queues.publish(work, MESSAGE)
        with pytest.raises(QueueFull):
            await queues.publish(work, MESSAGE)


async def test_a_confirm_that_does_not_come_and_a_broker_that_is_away_are_errors(
    broker_url: str, work: str
) -> None:
    declare(broker_url, work)
    with open_door(broker_url, amqp=True) as door:
        async with opened(door.url, deadline=1.0) as queues:
            await queues.publish(work, MESSAGE)
            door.stall()
            with pytest.raises(PublishUnconfirmed):
                await queues.publish(work, MESSAGE)
    async with opened("amqp://guest:guest@127.0.0.1:1/") as queues:
        with pytest.raises(QueueUnreachable):
            await queues.publish(work, MESSAGE)


async def test_a_name_that_no_queue_has_is_refused(broker_url: str) -> None:
    async with opened(broker_url) as queues:
        with pytest.raises(Unroutable):
            await queues.publish("q" * 256, MESSAGE)
        with pytest.raises(ValueError, match="255 bytes"):  # an outage would be waited for
            await queues.publish("q", replace(MESSAGE, correlation_id="i" * 256))
