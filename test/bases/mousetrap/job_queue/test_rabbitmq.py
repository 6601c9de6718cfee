"""Behaviour that only RabbitMQ has: outages, refusals, limits."""

import asyncio
import itertools
import logging
import struct
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from mousetrap.job_queue import QueueOptions, connect, open_channel
from mousetrap.job_queue.amqp.connection import count_each
from mousetrap.job_queue.errors import explain
from mousetrap.job_queue.topology.topology import topology
from mousetrap.jobs import (
    Message,
    PublishUnconfirmed,
    Queue,
    QueueBlocked,
    QueueFull,
    QueueUnreachable,
    dead_queue,
)
from mousetrap.pipeline import matches
from support.inbox import Inbox, eventually
from support.proxy import open_door
from support.rabbitmq import OwnRabbitMQ, virtual_host
from support.rabbitmq_node import TRIED_AGAIN_MS
from support.relay import relay
from support.workbench import connected

SHORT_DEADLINE = QueueOptions(confirm_deadline=1.0)


@contextmanager
def plain_channel(url: str) -> Iterator[BlockingChannel]:
    """A channel of plain pika."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        yield connection.channel()


def test_patterns_take_what_a_topic_exchange_of_the_broker_takes(broker_url: str) -> None:
    patterns = [
        "a",
        "a.b",
        "*",
        "a.*",
        "*.b",
        "*.*",
        "#",
        "a.#",
        "#.b",
        "a.#.b",
        "*.#",
        "#.*",
        "#.a.#",
        "a.*.#",
    ]
    topics = [".".join(words) for length in (1, 2, 3, 4) for words in itertools.product("abc", repeat=length)]
    with plain_channel(broker_url) as channel:
        channel.exchange_declare("patterns", exchange_type="topic", auto_delete=True)
        for place, pattern in enumerate(patterns):
            channel.queue_declare(f"pattern-{place}", exclusive=True)
            channel.queue_bind(f"pattern-{place}", "patterns", pattern)
        for topic in topics:
            channel.basic_publish("patterns", topic, b"")
        for place, pattern in enumerate(patterns):
            taken = [topic for topic in topics if matches(pattern, topic)]
            routed = []
            while (method := channel.basic_get(f"pattern-{place}", auto_ack=True)[0]) is not None:
                routed.append(method.routing_key)

            assert routed == taken, pattern


async def test_queues_are_quorum_queues_that_refuse_rather_than_drop(broker_url: str, work: str) -> None:
    async with connect(broker_url, [work], name="test") as queue:
        await connected(queue, work)

    # A broker lets a queue be declared again with the very same arguments only.
    with plain_channel(broker_url) as channel:
        channel.queue_declare(
            work,
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-queue-leader-locator": "balanced",
                "x-delivery-limit": 1_000_000_000,
                "x-max-length": 1_000_000,
                "x-max-length-bytes": 4_294_967_296,
                "x-overflow": "reject-publish",
                "x-dead-letter-exchange": "mousetrap.dead",
                "x-dead-letter-routing-key": work,
                "x-dead-letter-strategy": "at-least-once",
            },
        )
        channel.queue_declare(
            dead_queue(work),
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-queue-leader-locator": "balanced",
                "x-delivery-limit": 1_000_000_000,
            },
        )


async def test_a_full_queue_refuses_and_keeps_what_it_has(broker_url: str, work: str) -> None:
    async with connect(broker_url, [work], name="test", options=QueueOptions(max_length=3)) as queue:
        accepted = 0
        with pytest.raises(QueueFull, match=work):
            for n in range(50):  # a quorum queue notices a little late that it is full
                await queue.publish(work, Message(f"m{n}", b"x"))
                accepted += 1

        assert accepted >= 3
        await eventually(lambda: queue.count_ready(work), accepted)
        inbox = Inbox()
        await queue.consume(work, 50, inbox)
        assert await inbox.acknowledge(accepted) == [f"m{n}" for n in range(accepted)]


async def test_what_comes_due_into_a_full_queue_waits_on_the_ladder_and_arrives_when_there_is_room(
    own_rabbitmq: OwnRabbitMQ, work: str
) -> None:
    # What a full queue refused is tried again after a while; here each second.
    retried = "application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, {})."
    own_rabbitmq.rabbitmqctl("eval", retried.format(1_000))

    try:
        with virtual_host(own_rabbitmq) as url:
            async with connect(url, [work], name="test", options=QueueOptions(max_length=1)) as queue:
                waiting = await fill(queue, work)
                for n in range(5):
                    await queue.publish(work, Message(f"later {n}", b"x"), after=0.1)
                await eventually(lambda: refused(own_rabbitmq, url, "mousetrap.delay.0"), 5)

                inbox = Inbox()
                await queue.consume(work, 50, inbox)

                assert await inbox.acknowledge(waiting) == [f"m{n}" for n in range(waiting)]
                assert sorted(await inbox.acknowledge(5)) == [f"later {n}" for n in range(5)]
    finally:
        own_rabbitmq.rabbitmqctl("eval", retried.format(TRIED_AGAIN_MS))


async def test_classic_queues_keep_the_same_promises(broker_url: str, work: str) -> None:
    async with connect(broker_url, [work], name="test", options=QueueOptions(queue_type="classic")) as queue:
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        await queue.publish(work, Message("now", b"x"))
        await queue.publish(work, Message("later", b"x"), after=0.2)
        await queue.publish(dead_queue(work), Message("dead", b"x"))

        assert await inbox.acknowledge(2) == ["now", "later"]
        await eventually(lambda: queue.count_ready(dead_queue(work)), 1)


LIMIT = {"x-delivery-limit": 50}
CLASSIC = {
    "x-queue-type": "classic",
    "x-delivery-limit": None,
    "x-dead-letter-strategy": None,
    "x-queue-leader-locator": None,
}


@pytest.mark.parametrize(
    ("other", "differs", "advice"),
    [
        (LIMIT, "x-delivery-limit 50, and this process needs 1000000000", "declare it again"),
        (
            {"x-delivery-limit": None},
            "x-delivery-limit none, and this process needs 1000000000",
            "declare it",
        ),
        ({"x-max-length": 7}, "x-max-length 7, and this process needs 1000000", "_QUEUE_MAX_LENGTH"),
        ({"x-max-length": None}, "x-max-length none, and this process needs 1000000", "_QUEUE_MAX_LENGTH"),
        (
            {"x-max-length-bytes": None},
            "x-max-length-bytes none, and this process needs 4294967296",
            "give every process MOUSETRAP_QUEUE_MAX_BYTES=0",
        ),
        ({"x-message-ttl": 60_000}, "x-message-ttl 60000, and this process needs none", "declare it again"),
        (
            CLASSIC,
            "x-queue-type classic, and this process needs quorum",
            "give every process the MOUSETRAP_QUEUE_TYPE",
        ),
    ],
)
async def test_a_queue_that_exists_with_other_arguments_is_named_with_both_values_and_how_to_correct_it(
    broker_url: str,
    work: str,
    caplog: pytest.LogCaptureFixture,
    other: dict[str, str | int | None],
    differs: str,
    advice: str,
) -> None:
    declare_differently(broker_url, work, other)

    async with connect(broker_url, [work], name="test", options=SHORT_DEADLINE) as queue:
        reported = await failed_check(queue, "and this process needs")
        assert f"queue '{work}' has {differs}" in reported
        assert advice in reported and "docs/upgrading.md" in reported
        with pytest.raises(QueueUnreachable, match=differs):
            await queue.publish(work, Message("m", b"x"))

    assert len([each for each in caplog.records if differs in each.message]) == 1
    with pytest.raises(QueueUnreachable, match=differs):
        open_channel(broker_url, [work])


async def test_a_rung_of_the_delay_ladder_that_differs_is_reported_like_any_queue(
    broker_url: str, work: str
) -> None:
    classic = QueueOptions(queue_type="classic", confirm_deadline=1.0)
    async with connect(broker_url, [], name="test", options=classic) as queue:
        await eventually(failure_of(queue.check), None)
    async with connect(broker_url, ["other"], name="test") as queue:
        await eventually(failure_of(queue.check), None)
    async with connect(broker_url, [work], name="test", options=classic) as queue:
        reported = await failed_check(queue, "and this process needs")
        assert "queue 'mousetrap.delay.0' has " in reported and "MOUSETRAP_QUEUE_TYPE" in reported


@pytest.mark.parametrize(
    "reported", ["unknown delivery tag 5", "delivery acknowledgement on channel 1 timed out"]
)
def test_other_failed_preconditions_are_not_taken_for_a_difference(reported: str) -> None:
    assert explain(ChannelClosedByBroker(406, f"PRECONDITION_FAILED - {reported}")).endswith(reported)


@pytest.mark.parametrize("in_order", [True, False])
async def test_sixty_restarts_of_its_worker_cost_a_waiting_message_neither_its_queue_nor_its_place(
    broker_url: str, work: str, in_order: bool
) -> None:
    ids = [f"m{n}" for n in range(5)]

    async with connect(broker_url, [work], name="publisher") as publisher:
        for each in ids:
            await publisher.publish(work, Message(each, b"x"))

        for _ in range(60):
            async with connect(broker_url, [], name="worker") as queue:
                inbox = Inbox()
                subscription = await queue.consume(work, 3, inbox)
                taken = [await inbox.take() for _ in range(3)]
                assert [each.message.id for each in taken] == ids[:3]
                if in_order:
                    await subscription.stop()
                    assert all(each.hand_back() for each in taken)

        inbox = Inbox()
        await publisher.consume(work, 10, inbox)
        assert await inbox.acknowledge(5) == ids
        assert await publisher.count_ready(dead_queue(work)) == 0


async def test_what_arrives_while_a_subscription_stops_stays_in_its_queue(broker_url: str, work: str) -> None:
    # Large, and on a slow way, so that some are still in transit when the broker gets the stop: pika rejects those by itself.
    ids, body = [f"m{n}" for n in range(8)], bytes(200_000)

    late = 0
    with open_door(broker_url) as door:
        async with connect(door.url, [work], name="test") as queue:
            for each in ids:
                await queue.publish(work, Message(each, body))

            door.weather.delay = 0.005  # for each piece of a message
            for _ in range(10):
                inbox = Inbox()
                subscription = await queue.consume(work, len(ids), inbox)
                first = await inbox.take()
                await subscription.stop()
                late += len(inbox) < len(ids) - 1
                assert first.hand_back()
                while len(inbox):
                    assert (await inbox.take()).hand_back()

            assert late > 0
            inbox = Inbox()
            await queue.consume(work, 10, inbox)
            assert sorted(await inbox.acknowledge(len(ids))) == ids
            assert await queue.count_ready(dead_queue(work)) == 0


async def test_a_consumer_that_the_broker_forgot_subscribes_again_and_gets_all(
    broker_url: str, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # RabbitMQ 3.10 neither cancels nor serves the consumer of a queue that is there again milliseconds after its end.
    monkeypatch.setattr("mousetrap.job_queue.consumer._QUIET_S", 0.5)

    async with connect(broker_url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        for n in range(5):
            await queue.publish(work, Message(f"before {n}", b"x"))
            await inbox.acknowledge(1)
            await asyncio.to_thread(delete_and_make, broker_url, work)

            await queue.publish(work, Message(f"after {n}", b"x"))
            assert await inbox.acknowledge(1) == [f"after {n}"]


async def test_subscribing_again_all_the_time_loses_nothing_and_repeats_nothing(
    broker_url: str, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.job_queue.consumer._QUIET_S", 0.0)

    async with connect(broker_url, [work], name="test") as queue:
        inbox = Inbox()
        subscription = await queue.consume(work, 10, inbox)
        for n in range(400):
            await queue.publish(work, Message(f"m{n}", b"x"))
            delivery = await inbox.take()
            assert delivery.message.id == f"m{n}"
            assert delivery.acknowledge()

        await subscription.stop()
        await eventually(lambda: queue.count_ready(work), 0)
        assert len(inbox) == 0


async def test_a_queue_deleted_under_its_consumer_is_declared_again_and_consumed(
    broker_url: str, work: str
) -> None:
    async with connect(broker_url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        await queue.publish(work, Message("before", b"x"))
        held = await inbox.take()

        await asyncio.to_thread(delete, broker_url, work)

        await queue.publish(work, Message("after", b"x"))
        assert await inbox.acknowledge(1) == ["after"]
        assert not held.acknowledge()


async def test_a_queue_deleted_under_its_publishers_is_declared_again_for_all_of_them(
    broker_url: str, work: str
) -> None:
    async with connect(broker_url, [work], name="test") as queue:
        await connected(queue, work)
        await asyncio.to_thread(delete, broker_url, work)

        await asyncio.gather(*(queue.publish(work, Message(f"m{n}", b"x")) for n in range(20)))

        await eventually(lambda: queue.count_ready(work), 20)


async def test_what_the_broker_gives_up_by_itself_is_in_the_dead_queue_with_its_reason(
    broker_url: str, work: str
) -> None:
    async with connect(broker_url, [work], name="test") as queue:
        await queue.publish(work, Message("m", b"x", {"mousetrap-signature": "s"}), after=0.1)
        await eventually(lambda: queue.count_ready(work), 1)
        await asyncio.to_thread(reject_one, broker_url, work)

        inbox = Inbox()
        await queue.consume(dead_queue(work), 10, inbox)
        message = (await inbox.take()).message
        assert message == Message("m", b"x", {"mousetrap-signature": "s", "mousetrap-reason": "rejected"})


async def test_that_nothing_waits_is_asked_for_again_before_it_is_believed(
    broker_url: str, work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So the broker reports a queue whose leader does not answer within a quarter of a second.
    late: list[list[tuple[int, int]]] = [[(0, 0), (0, 0)]]

    async def answered_late(channel: Any, queues: Sequence[str]) -> Sequence[tuple[int, int]]:
        return late.pop() if late else await count_each(channel, queues)

    async with connect(broker_url, [work], name="test") as queue:
        await queue.publish(work, Message("m", b"x"))
        await eventually(lambda: queue.count_ready(work), 1)
        monkeypatch.setattr("mousetrap.job_queue.counts.count_each", answered_late)
        monkeypatch.setattr("mousetrap.job_queue.counts._BELIEVED_S", 0.0)

        assert await queue.count_ready(work) == 1
    assert not late


@pytest.mark.parametrize(("believed_s", "found"), [(0.0, 1), (60.0, 0)])
async def test_that_many_hold_nothing_is_asked_for_again_where_the_answer_came_late(
    broker_url: str, work: str, monkeypatch: pytest.MonkeyPatch, believed_s: float, found: int
) -> None:
    answers: list[list[tuple[int, int]]] = [[(0, 0)]]

    async def answered_late(channel: Any, queues: Sequence[str]) -> list[tuple[int, int]]:
        return answers.pop() if answers else await count_each(channel, queues)

    async with connect(broker_url, [work], name="test") as queue:
        await queue.publish(work, Message("m", b"x"))
        await eventually(lambda: queue.count_ready(work), 1)
        monkeypatch.setattr("mousetrap.job_queue.counts.count_each", answered_late)
        monkeypatch.setattr("mousetrap.job_queue.counts._BELIEVED_S", believed_s)

        assert (await queue.backlogs([work]))[work].ready == found
    assert not answers


async def test_a_foreign_message_without_an_id_is_delivered_as_it_is(broker_url: str, work: str) -> None:
    async with connect(broker_url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        await connected(queue, work)
        await asyncio.to_thread(publish_plainly, broker_url, work)

        message = (await inbox.take()).message
        assert message == Message("", b"not ours", {})


async def test_a_receiver_that_fails_costs_no_other_delivery(broker_url: str, work: str) -> None:
    async with connect(broker_url, [work], name="test") as queue:
        inbox = Inbox()

        def receive(delivery: Any) -> None:
            if delivery.message.id == "bad" and not delivery.redelivered:
                raise RuntimeError("a defect")
            inbox(delivery)

        await queue.consume(work, 10, receive)
        for each in ("good", "bad", "better"):
            await queue.publish(work, Message(each, b"x"))

        assert set(await inbox.acknowledge(3)) == {"good", "bad", "better"}


async def test_more_publishes_at_once_than_the_window_holds_all_arrive_in_order(
    broker_url: str, work: str
) -> None:
    ids = [f"m{n}" for n in range(5_000)]

    async with connect(broker_url, [work], name="test") as queue:
        await asyncio.gather(*(queue.publish(work, Message(each, b"x")) for each in ids))
        inbox = Inbox()
        await queue.consume(work, 1_000, inbox)
        assert await inbox.acknowledge(len(ids)) == ids


async def test_bodies_of_all_sizes_arrive_whole_and_in_order(broker_url: str, work: str) -> None:
    bodies = [
        bytes([n]) * size for n, size in enumerate((0, 1, 300, 65_536, 65_537, 131_064, 400_000, 5) * 8)
    ]

    async with connect(broker_url, [work], name="test") as queue:
        for n, body in enumerate(bodies):
            await queue.publish(work, Message(str(n), body))
        inbox = Inbox()
        await queue.consume(work, len(bodies), inbox)

        came = [await inbox.take() for _ in bodies]

        assert [(each.message.id, each.message.body) for each in came] == [
            (str(n), body) for n, body in enumerate(bodies)
        ]
        assert all(each.acknowledge() for each in came)


async def test_headers_as_large_as_we_let_them_be_pass(broker_url: str, work: str) -> None:
    async with connect(broker_url, [work], name="test") as queue:
        headers = {"mousetrap-error": "e" * 65_000}
        await queue.publish(work, Message("m" * 255, b"x", headers))
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        assert (await inbox.take()).message == Message("m" * 255, b"x", headers)


async def test_lost_confirms_end_in_an_error_at_the_deadline_and_in_a_fresh_connection(
    broker_url: str, work: str
) -> None:
    async with (
        relay(broker_url, without_confirms) as proxy,
        connect(proxy.url, [work], name="test", options=SHORT_DEADLINE) as queue,
    ):
        await eventually(failure_of(queue.check), None)
        with pytest.raises(PublishUnconfirmed, match=r"'m'.*publish the same id again"):
            await queue.publish(work, Message("m", b"x"))

        async with connect(broker_url, [work], name="other") as other:
            await eventually(lambda: other.count_ready(work), 1)
        async with asyncio.timeout(60):
            while proxy.connections < 2:  # noqa: ASYNC110  the relay announces nothing
                await asyncio.sleep(0.02)


async def test_a_broker_short_of_memory_is_reported_waited_for_and_left_in_time(
    own_rabbitmq: OwnRabbitMQ, work: str
) -> None:
    async with connect(own_rabbitmq.url, [work], name="test", options=SHORT_DEADLINE) as queue:
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        await eventually(failure_of(queue.check), None)
        await eventually(failure_of(lambda: queue.publish(work, Message("before", b"x"))), None)
        await asyncio.to_thread(own_rabbitmq.rabbitmqctl, "set_vm_memory_high_watermark", "0")
        try:
            # Consumers go on, and publishers are blocked with their next message.
            assert await inbox.acknowledge(1) == ["before"]
            with pytest.raises(PublishUnconfirmed):
                await queue.publish(work, Message("first", b"x"))
            await failed_check(queue, "memory or disk")
            with pytest.raises(QueueBlocked):
                await queue.check()
            with pytest.raises(QueueUnreachable, match="memory or disk"):
                await queue.publish(work, Message("second", b"x"))
            async with connect(own_rabbitmq.url, [work], name="other", options=SHORT_DEADLINE) as other:
                await eventually(failure_of(other.check), None)
                with pytest.raises(PublishUnconfirmed):
                    await other.publish(work, Message("other", b"x"))
                leaving = asyncio.get_running_loop().time()
            assert asyncio.get_running_loop().time() - leaving < 30
        finally:
            await asyncio.to_thread(own_rabbitmq.rabbitmqctl, "set_vm_memory_high_watermark", "0.4")

        await eventually(failure_of(lambda: queue.publish(work, Message("after", b"x"))), None)
        while (await inbox.acknowledge(1)) != ["after"]:
            pass


@pytest.mark.parametrize(
    "table",
    [
        b"\x01nT" + struct.pack(">Q", 2**63),  # a time that no calendar has
        b"\x03\xff\xfe\xfdS" + struct.pack(">L", 2) + b"\xff\xfe",  # text that is none
        b"\x07x-deathS" + struct.pack(">L", 1) + b"x",  # a history of another shape
    ],
)
async def test_hostile_properties_cost_neither_the_connection_nor_the_body(
    broker_url: str, work: str, table: bytes
) -> None:
    async with relay(broker_url) as proxy, connect(proxy.url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        await queue.publish(work, Message("before", b"x"))
        await asyncio.to_thread(publish_hostilely, broker_url, work, table)

        assert await inbox.acknowledge(1) == ["before"]
        hostile = await inbox.take()
        assert (hostile.message.body, hostile.message.id, hostile.redelivered) == (b"hostile", "", False)
        assert hostile.acknowledge()
        assert proxy.connections == 2


async def test_the_log_reports_a_loss_once_and_its_end_once(
    broker_url: str, work: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mousetrap")

    async with relay(broker_url) as proxy, connect(proxy.url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        await queue.publish(work, Message("m1", b"x"))
        await inbox.acknowledge(1)

        await proxy.shut()
        publishing = asyncio.create_task(queue.publish(work, Message("m2", b"x")))
        await eventually(failure_of(queue.check), QueueUnreachable)
        await proxy.open()

        await publishing
        await inbox.acknowledge(1)

    reported = [(each.levelname, each.message.partition(" at ")[0]) for each in caplog.records]
    assert reported == [("WARNING", "RabbitMQ"), ("INFO", "RabbitMQ")]


async def test_no_body_is_logged_when_a_message_comes_back(
    broker_url: str, work: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async with connect(broker_url, [work], name="test") as queue:
        with pytest.raises(Exception, match="nowhere"):
            await queue.publish("nowhere", Message("m", b"canary-in-the-body"))

    assert "canary" not in caplog.text


async def test_a_server_that_never_answers_is_reported_and_left_in_time(
    work: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousetrap.job_queue.rabbitmq._REPLY_TIMEOUT_S", 1.5)
    came = asyncio.Event()
    writers = []

    def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        came.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, asyncio.timeout(60):
        async with connect(f"amqp://127.0.0.1:{port}", [work], name="test") as queue:
            await came.wait()
            with pytest.raises(QueueUnreachable, match=f"127.0.0.1:{port}"):
                await queue.check()
        for writer in writers:
            writer.close()


@pytest.mark.parametrize(
    ("login", "vhost", "why"),
    [("guest:s3cret", None, "refused the login"), ("guest:guest", "nowhere", "refused the virtual host")],
)
async def test_a_refused_login_is_explained_without_its_password(
    broker_url: str, work: str, login: str, vhost: str | None, why: str
) -> None:
    parts = urlsplit(broker_url)
    host = parts.netloc.rpartition("@")[2]
    path = parts.path if vhost is None else f"/{quote(vhost)}"
    url = urlunsplit(parts._replace(netloc=f"{login}@{host}", path=path))

    async with connect(url, [work], name="test", options=SHORT_DEADLINE) as queue:
        assert "s3cret" not in await failed_check(queue, why)


async def test_of_several_hosts_one_that_answers_will_do(broker_url: str, work: str) -> None:
    parts = urlsplit(broker_url)
    login, _, host = parts.netloc.rpartition("@")
    url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:1,{host},127.0.0.1:1"))

    for _ in range(3):  # in a new order each time
        async with connect(url, [work], name="test") as queue:
            await connected(queue, work)
            await queue.check()


async def failed_check(queue: Queue, why: str) -> str:
    """The text of the check that fails for the cause `why`."""
    async with asyncio.timeout(60):
        while True:
            try:
                await queue.check()
            except QueueUnreachable as error:
                if why in str(error):
                    return str(error)
            await asyncio.sleep(0.02)


def failure_of(act: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[type[Exception] | None]]:
    """A function that returns the class of the error that `act` raises, or None."""

    async def ask() -> type[Exception] | None:
        try:
            await act()
        except (QueueUnreachable, PublishUnconfirmed) as error:
            return type(error)
        return None

    return ask


async def fill(queue: Queue, name: str) -> int:
    """Publishes m0, m1 … until the queue is full; returns how many it took."""
    taken = 0
    while True:
        try:
            await queue.publish(name, Message(f"m{taken}", b"x"))
        except QueueFull:
            return taken
        taken += 1


async def refused(broker: OwnRabbitMQ, url: str, rung: str) -> int:
    """How many messages of `rung` are due and kept by it, since the next queue has not taken them."""
    vhost = urlsplit(url).path.removeprefix("/")
    name = f'rabbit_misc:r(<<"{vhost}">>, queue, <<"{rung}">>)'
    question = f"{{ok, Q}} = rabbit_amqqueue:lookup({name}), rabbit_quorum_queue:info(Q, [messages_dlx])."
    answer = await asyncio.to_thread(broker.rabbitmqctl, "eval", question)
    return int(answer.strip().removeprefix("[{messages_dlx,").removesuffix("}]"))


def arguments_of(queue: str) -> dict[str, str | int]:
    """The arguments with which this version declares the work queue."""
    return dict(topology([queue], QueueOptions()).queues[0].arguments)


def declare_differently(url: str, queue: str, other: dict[str, str | int | None]) -> None:
    """Declares the work queue with some `other` arguments."""
    wanted = {**arguments_of(queue), **other}
    with plain_channel(url) as channel:
        channel.queue_declare(
            queue,
            durable=True,
            arguments={name: value for name, value in wanted.items() if value is not None},
        )


def delete_and_make(url: str, queue: str) -> None:
    """Deletes a queue and declares it again at once, as an administrator's tool does."""
    stands = topology([queue], QueueOptions())
    with plain_channel(url) as channel:
        channel.queue_delete(queue)
        channel.queue_declare(queue, durable=True, arguments=arguments_of(queue))
        for binding in stands.bindings:
            if binding.to == queue:
                channel.queue_bind(queue, binding.source, binding.key)


def delete(url: str, queue: str) -> None:
    with plain_channel(url) as channel:
        channel.queue_delete(queue)


def reject_one(url: str, queue: str) -> None:
    with plain_channel(url) as channel:
        method, _, _ = channel.basic_get(queue)
        channel.basic_reject(method.delivery_tag, requeue=False)


def publish_plainly(url: str, queue: str) -> None:
    with plain_channel(url) as channel:
        channel.basic_publish(
            "", queue, b"not ours", pika.BasicProperties(headers={"other": "header", "n": 1})
        )


def publish_hostilely(url: str, queue: str, table: bytes) -> None:
    """A message whose headers are `table`, byte for byte."""

    class Hostile(pika.BasicProperties):  # type: ignore[misc] # pika's wheel carries no types
        def encode(self) -> list[bytes]:
            return [struct.pack(">H", 1 << 13), struct.pack(">L", len(table)), table]

    with plain_channel(url) as channel:
        channel.basic_publish("", queue, b"hostile", Hostile())


def without_confirms() -> Callable[[bytes], bytes]:
    """Removes every Basic.Ack from the data that a broker sends, and nothing else."""
    rest = b""

    def edit(data: bytes) -> bytes:
        nonlocal rest
        rest, passed = rest + data, b""
        while len(rest) >= 7:
            size = 7 + struct.unpack(">L", rest[3:7])[0] + 1
            if len(rest) < size:
                break
            frame, rest = rest[:size], rest[size:]
            is_ack = frame[0] == 1 and frame[7:11] == struct.pack(">HH", 60, 80)
            passed += b"" if is_ack else frame
        return passed

    return edit


async def test_a_classic_queue_keeps_its_messages_over_a_restart(
    own_rabbitmq: OwnRabbitMQ, work: str
) -> None:

    with virtual_host(own_rabbitmq) as url:
        async with connect(url, [work], name="test", options=QueueOptions(queue_type="classic")) as queue:
            await queue.publish(work, Message("waiting", b"x"))
            await asyncio.to_thread(own_rabbitmq.restart)
            inbox = Inbox()
            await queue.consume(work, 1, inbox)
            assert await inbox.acknowledge(1) == ["waiting"]
