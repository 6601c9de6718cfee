"""The contract of priorities: on RabbitMQ, on Valkey, and simulated."""

import asyncio

import pytest

from mousetrap.job_queue import QueueOptions, open_channel
from mousetrap.jobs import (
    DEFAULT_PRIORITY,
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    Message,
    Unroutable,
    dead_queue,
    high_queue,
)
from support.inbox import Inbox, eventually
from support.simulated_queue import connect, simulated_url

pytestmark = [pytest.mark.servers, pytest.mark.own_queues]

#: The lowest level that is above the default.
HIGH = DEFAULT_PRIORITY + 1


@pytest.fixture(params=["streams", "rabbitmq", "simulated"])
def queue_url(request: pytest.FixtureRequest) -> str:
    """The address of each queue in turn, with nothing on it."""
    if request.param == "simulated":
        return simulated_url()
    url: str = request.getfixturevalue({"streams": "store_url", "rabbitmq": "broker_url"}[request.param])
    return url


def of(priority: int, name: str = "") -> Message:
    return Message(name or f"of-{priority}", b"{}", priority=priority)


@pytest.mark.parametrize("priority", range(LOWEST_PRIORITY, HIGHEST_PRIORITY + 1))
async def test_a_message_arrives_with_its_priority_in_the_queue_that_it_was_for(
    queue_url: str, work: str, priority: int
) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        await queue.publish(work, Message("m", b"{}", {"mousetrap-note": "kept"}, priority))

        delivery = await inbox.take()
        assert delivery.queue == work
        assert delivery.message == Message("m", b"{}", {"mousetrap-note": "kept"}, priority)
        assert delivery.acknowledge()
        await eventually(lambda: queue.count_ready(work), 0)


async def test_a_high_one_passes_what_a_consumer_holds_already(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 2, inbox)
        for each in range(5):
            await queue.publish(work, of(DEFAULT_PRIORITY, f"usual-{each}"))
        held = [await inbox.take() for _ in range(2)]

        await queue.publish(work, of(HIGH, "high"))
        assert (await inbox.take()).message.id == "high"
        assert [each.message.id for each in held] == ["usual-0", "usual-1"]


async def test_the_two_are_counted_as_one_queue(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        for priority in (0, DEFAULT_PRIORITY, HIGH, HIGHEST_PRIORITY):
            await queue.publish(work, of(priority))
        await eventually(lambda: queue.count_ready(work), 4)
        assert (await queue.backlog(work)).ready == 4
        found = await queue.backlogs([work, dead_queue(work)])
        assert {name: each.ready for name, each in found.items()} == {work: 4, dead_queue(work): 0}


async def test_what_is_handed_back_keeps_its_priority(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        inbox = Inbox()
        subscription = await queue.consume(work, 1, inbox)
        await queue.publish(work, of(HIGHEST_PRIORITY))
        delivery = await inbox.take()
        await subscription.stop()
        assert delivery.hand_back()
        await eventually(lambda: queue.count_ready(work), 1)

        await queue.consume(work, 1, inbox)
        again = await inbox.take()
        assert (again.message, again.redelivered, again.queue) == (of(HIGHEST_PRIORITY), True, work)


async def test_a_delayed_one_keeps_its_priority(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 1, inbox)
        await queue.publish(work, of(DEFAULT_PRIORITY, "usual"))
        assert (await inbox.take()).message.id == "usual"  # the consumer has as many as it takes of those

        await queue.publish(work, of(HIGH, "later"), after=0.1)
        assert (await inbox.take()).message == of(HIGH, "later")


async def test_after_stop_no_high_one_comes_either(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        inbox = Inbox()
        subscription = await queue.consume(work, 10, inbox)
        await subscription.begun()
        await subscription.stop()
        await queue.publish(work, of(HIGH))
        await eventually(lambda: queue.count_ready(work), 1)
        assert len(inbox) == 0


async def test_a_letter_with_a_priority_goes_to_the_dead_queue(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        await queue.publish(dead_queue(work), of(HIGHEST_PRIORITY))
        await eventually(lambda: queue.count_ready(dead_queue(work)), 1)


@pytest.mark.parametrize("queue_url", ["rabbitmq"], indirect=True)
async def test_usual_jobs_go_on_where_no_high_queue_is_made_yet(queue_url: str, work: str) -> None:
    with open_channel(queue_url, [work]) as channel:
        channel.queue_delete(high_queue(work))
    async with connect(queue_url, [work], name="test", options=QueueOptions(declare=False)) as queue:
        inbox = Inbox()
        subscription = await queue.consume(work, 1, inbox)
        await subscription.begun()
        with pytest.raises(Unroutable, match=high_queue(work)):
            await queue.publish(work, of(HIGH))
        await queue.publish(work, of(DEFAULT_PRIORITY))
        assert await inbox.acknowledge(1) == ["of-4"]
        await eventually(lambda: queue.count_ready(work), 0)

        with open_channel(queue_url, [work]):  # as `migrate` makes them
            await queue.publish(work, of(HIGH))
        assert await inbox.acknowledge(1) == ["of-5"]


@pytest.mark.parametrize("queue_url", ["rabbitmq"], indirect=True)
async def test_a_delayed_high_one_is_refused_where_no_high_queue_is_made_yet(
    queue_url: str, work: str
) -> None:
    """At the ladder's end it would hold up all that is behind it on its rung."""
    with open_channel(queue_url, [work]) as channel:
        channel.queue_delete(high_queue(work))
    async with connect(queue_url, [work], name="test", options=QueueOptions(declare=False)) as queue:
        inbox = Inbox()
        await queue.consume(work, 1, inbox)
        together = (queue.publish(work, of(HIGH), after=0.1) for _ in range(40))
        refused = await asyncio.gather(*together, return_exceptions=True)
        assert {(type(each), high_queue(work) in str(each)) for each in refused} == {(Unroutable, True)}
        await queue.publish(work, of(DEFAULT_PRIORITY), after=0.1)
        assert await inbox.acknowledge(1) == ["of-4"]

        with open_channel(queue_url, [work]):  # as `migrate` makes them
            await queue.publish(work, of(HIGH), after=0.1)
        assert await inbox.acknowledge(1) == ["of-5"]
