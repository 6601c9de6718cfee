"""Posts: what each is settled with, on RabbitMQ, on Valkey, and simulated."""

import asyncio
from collections.abc import Callable

import pika
import pytest
import redis

from mousetrap.job_queue import QueueOptions
from mousetrap.jobs import (
    Message,
    MousetrapError,
    PublishUnconfirmed,
    Queue,
    QueueFull,
    QueueUnreachable,
    Unroutable,
)
from support.inbox import Inbox, eventually
from support.simulated_queue import connect, relay, simulated_url
from support.workbench import connected

pytestmark = [pytest.mark.servers, pytest.mark.own_queues]

TIMEOUT_S = 60.0
SHORT_DEADLINE = QueueOptions(confirm_deadline=0.5)

#: For what the simulated queue does not have: limits, a deletion, and a close with messages under way.
on_servers = pytest.mark.parametrize("queue_url", ["streams", "rabbitmq"], indirect=True)


@pytest.fixture(params=["streams", "rabbitmq", "simulated"])
def queue_url(request: pytest.FixtureRequest) -> str:
    """The address of each queue in turn, with nothing on it."""
    if request.param == "simulated":
        return simulated_url()
    url: str = request.getfixturevalue({"streams": "store_url", "rabbitmq": "broker_url"}[request.param])
    return url


class Results:
    """Posts messages, and keeps what each was settled with."""

    def __init__(self, queue: Queue, name: str) -> None:
        self._queue = queue
        self._name = name
        self._posted: list[str] = []
        self._all = asyncio.Event()
        #: In the order in which they came.
        self.found: dict[str, MousetrapError | None] = {}

    def post(self, *ids: str) -> None:
        """Posts them in this turn of the loop."""
        self._all.clear()
        self._posted += ids
        for each in ids:
            self._queue.post(self._name, Message(each, b"x"), self._settled(each))
        assert not set(ids) & set(self.found), "settled in the turn of the post"

    async def all(self) -> dict[str, MousetrapError | None]:
        """What came, once it has come for each."""
        async with asyncio.timeout(TIMEOUT_S):
            await self._all.wait()
        return self.found

    def accepted(self) -> list[str]:
        """The messages that the queue has."""
        return [each for each, error in self.found.items() if error is None]

    def _settled(self, message_id: str) -> Callable[[MousetrapError | None], None]:
        def settled(error: MousetrapError | None) -> None:
            assert message_id not in self.found
            self.found[message_id] = error
            if len(self.found) == len(self._posted):
                self._all.set()

        return settled


async def test_a_thousand_posts_of_one_turn_are_confirmed_and_delivered_in_order(
    queue_url: str, work: str
) -> None:
    ids = [f"m{n}" for n in range(1_000)]
    async with connect(queue_url, [work], name="test") as queue:
        results = Results(queue, work)
        results.post(*ids)

        assert await results.all() == dict.fromkeys(ids)
        inbox = Inbox()
        await queue.consume(work, 1_000, inbox)
        assert await inbox.acknowledge(1_000) == ids


async def test_posts_and_publishes_of_one_turn_keep_their_order(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        await connected(queue, work)
        results = Results(queue, work)
        publishing = asyncio.create_task(queue.publish(work, Message("m1", b"x")))
        await asyncio.sleep(0)
        results.post("m2", "m3")
        await publishing
        await results.all()

        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        assert await inbox.acknowledge(3) == ["m1", "m2", "m3"]


@on_servers
async def test_what_a_full_queue_refuses_is_settled_with_that_error_and_what_it_takes_is_there(
    queue_url: str, work: str
) -> None:
    async with connect(queue_url, [work], name="test", options=QueueOptions(max_length=3)) as queue:
        results = Results(queue, work)
        while not any(results.found.values()):  # a quorum queue notices a little late that it is full
            results.post(*(f"m{len(results.found) + n}" for n in range(10)))
            await results.all()

        assert {type(error) for error in results.found.values() if error} == {QueueFull}
        inbox = Inbox()
        await queue.consume(work, 100, inbox)
        accepted = results.accepted()
        assert set(await inbox.acknowledge(len(accepted))) == set(accepted)


async def test_a_post_to_a_queue_that_is_not_there_is_unroutable_and_costs_no_other(
    queue_url: str, work: str
) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        lost, there = Results(queue, "nowhere"), Results(queue, work)
        lost.post("m1", "m2")
        there.post("m3")

        assert [type(error) for error in (await lost.all()).values()] == [Unroutable] * 2
        assert await there.all() == {"m3": None}


@on_servers
async def test_a_queue_of_ours_that_was_deleted_is_declared_again_for_all_posts(
    queue_url: str, work: str
) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        await connected(queue, work)
        await asyncio.to_thread(delete, queue_url, work)

        results = Results(queue, work)
        ids = [f"m{n}" for n in range(20)]
        results.post(*ids)

        assert await results.all() == dict.fromkeys(ids)
        await eventually(lambda: queue.count_ready(work), 20)


async def test_posts_during_an_outage_arrive_when_it_is_over(queue_url: str, work: str) -> None:
    async with relay(queue_url) as proxy, connect(proxy.url, [work], name="test") as queue:
        await connected(queue, work)
        await proxy.shut()
        results = Results(queue, work)
        results.post("m1", "m2")
        await asyncio.sleep(0.1)
        assert not results.found

        await proxy.open()

        assert await results.all() == {"m1": None, "m2": None}
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        assert await inbox.acknowledge(2) == ["m1", "m2"]


async def test_posts_that_a_lost_connection_had_are_each_there_or_an_error(queue_url: str, work: str) -> None:
    async with relay(queue_url) as proxy, connect(proxy.url, [work], name="test") as queue:
        await connected(queue, work)
        results = Results(queue, work)
        results.post(*(f"m{n}" for n in range(300)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        proxy.cut()

        found = await results.all()
        assert all(
            isinstance(error, QueueUnreachable | PublishUnconfirmed | None) for error in found.values()
        )
        inbox, accepted = Inbox(), set(results.accepted())
        await queue.consume(work, 100, inbox)
        while accepted:
            accepted -= set(await inbox.acknowledge(1))


async def test_a_post_ends_at_the_deadline_while_the_broker_is_away(queue_url: str, work: str) -> None:
    async with relay(queue_url) as proxy:
        await proxy.shut()
        async with connect(proxy.url, [work], name="test", options=SHORT_DEADLINE) as queue:
            results = Results(queue, work)
            results.post("m1", "m2")

            assert [type(error) for error in (await results.all()).values()] == [QueueUnreachable] * 2
        await proxy.open()


@on_servers
async def test_a_closed_queue_settles_what_it_has_and_what_comes_after(queue_url: str, work: str) -> None:
    async with relay(queue_url) as proxy:
        await proxy.shut()
        async with connect(proxy.url, [work], name="test") as queue:
            before = Results(queue, work)
            before.post("m1")
        after = Results(queue, work)
        after.post("m2")

        assert [type(error) for error in (await before.all()).values()] == [QueueUnreachable]
        assert [type(error) for error in (await after.all()).values()] == [QueueUnreachable]
        with pytest.raises(QueueUnreachable):
            await queue.publish(work, Message("m3", b"x"))
        await proxy.open()


@on_servers
async def test_a_callback_that_raises_is_logged_and_harms_no_other(
    queue_url: str, work: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: MousetrapError | None) -> None:
        raise ZeroDivisionError("by zero")

    async with connect(queue_url, [work], name="test") as queue:
        results = Results(queue, work)
        results.post("m1")
        queue.post(work, Message("m2", b"x"), fail)
        results.post("m3")

        assert await results.all() == {"m1": None, "m3": None}
        await queue.publish(work, Message("m4", b"x"))
        await eventually(lambda: queue.count_ready(work), 4)
    assert caplog.text.count("ZeroDivisionError: by zero") == 1


async def test_a_post_may_follow_from_another(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        results = Results(queue, work)
        queue.post(work, Message("m1", b"x"), lambda _: results.post("m2", "m3"))

        assert await results.all() == {"m2": None, "m3": None}


async def test_a_message_that_no_queue_takes_is_refused_at_once(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        results = Results(queue, work)
        with pytest.raises(ValueError, match="CC"):
            queue.post(work, Message("m1", b"x", {"CC": "elsewhere"}), lambda _: None)
        results.post("m2")

        assert await results.all() == {"m2": None}


@on_servers
async def test_a_queue_whose_name_is_too_long_for_any_is_not_there_and_costs_no_other(
    queue_url: str, work: str
) -> None:
    """The broker counts what it gets: a message that was counted and not sent would take the confirm of the next."""
    async with connect(queue_url, [work], name="test") as queue:
        await connected(queue, work)
        with pytest.raises(Unroutable):
            await queue.publish("q" * 256, Message("m1", b"x"))
        results = Results(queue, work)
        results.post("m2")

        assert await results.all() == {"m2": None}
        results.post("m3")
        assert await results.all() == {"m2": None, "m3": None}


def delete(url: str, work: str) -> None:
    """Deletes a queue behind the back of all who use it."""
    if url.startswith("amqp"):
        with pika.BlockingConnection(pika.URLParameters(url)) as connection:
            connection.channel().queue_delete(work)
    else:
        with redis.Redis.from_url(url.replace("valkey://", "redis://")) as client:
            client.delete(f"mousetrap:queue:{work}")
