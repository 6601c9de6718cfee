"""The contract of a queue: on RabbitMQ, on Valkey, and simulated."""

import asyncio
import math
import os

import pytest

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.job_queue import QueueOptions, open_queue
from mousetrap.jobs import (
    LONGEST_DELAY_S,
    Delivery,
    Message,
    PublishUnconfirmed,
    Queue,
    QueueFull,
    QueueUnreachable,
    Unroutable,
    dead_queue,
)
from mousetrap.settings import Settings
from support.inbox import Inbox, eventually
from support.rabbitmq import ON_OWN_RABBITMQ, OwnRabbitMQ
from support.simulated_queue import connect, relay, simulated_url
from support.workbench import connected

pytestmark = [pytest.mark.servers, pytest.mark.own_queues]


@pytest.fixture(params=[pytest.param("rabbitmq", marks=ON_OWN_RABBITMQ), "streams"])
def server(request: pytest.FixtureRequest) -> OwnRabbitMQ | EmbeddedValkey:
    """The server of each kind of queue in turn, to restart and to kill."""
    found: OwnRabbitMQ | EmbeddedValkey = request.getfixturevalue(
        "own_rabbitmq" if request.param == "rabbitmq" else "own_valkey"
    )
    return found


@pytest.fixture(params=["streams", "rabbitmq", "simulated"])
def queue_url(request: pytest.FixtureRequest) -> str:
    """The address of each queue in turn, with nothing on it."""
    if request.param == "simulated":
        return simulated_url()
    url: str = request.getfixturevalue({"streams": "store_url", "rabbitmq": "broker_url"}[request.param])
    return url


#: For what needs a server's settings, or its own restart.
on_servers = pytest.mark.parametrize("queue_url", ["streams", "rabbitmq"], indirect=True)
SHORT_DEADLINE = QueueOptions(confirm_deadline=0.5)


async def test_a_confirmed_message_is_delivered_once(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        await queue.publish(work, Message("m1", b'{"a": 1}'))
        inbox = Inbox()
        await queue.consume(work, 10, inbox)

        delivery = await inbox.take()
        assert (delivery.queue, delivery.message.id, delivery.message.body) == (work, "m1", b'{"a": 1}')
        assert not delivery.redelivered
        assert delivery.acknowledge()

    async with connect(queue_url, [work], name="test") as queue:
        await eventually(lambda: queue.count_ready(work), 0)
        await queue.consume(work, 10, inbox)
        await queue.publish(work, Message("m2", b""))
        assert await inbox.acknowledge(1) == ["m2"]


async def test_headers_arrive_as_they_were_sent(queue_url: str, work: str) -> None:
    headers = {
        "mousetrap-signature": "v1.k.abc",
        "mousetrap-reason": "max-retries: ünï 🪤",
        "mousetrap-empty": "",
    }

    async with connect(queue_url, [work], name="test") as queue:
        await queue.publish(work, Message("with", b"x", headers))
        await queue.publish(work, Message("without", b"x"))
        await queue.publish(work, Message("delayed", b"x", headers), after=0.3)
        inbox = Inbox()
        await queue.consume(work, 10, inbox)

        assert (await inbox.take()).message.headers == headers
        assert (await inbox.take()).message.headers == {}
        assert (await inbox.take()).message.headers == headers


@pytest.mark.parametrize("name", ["CC", "BCC", "x-death", "x-delay", "other"])
async def test_headers_that_a_broker_could_act_on_are_refused(queue_url: str, work: str, name: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        with pytest.raises(ValueError, match=name):
            await queue.publish(work, Message("m", b"x", {name: "value"}))
        await connected(queue, work)
        assert await queue.count_ready(work) == 0


async def test_a_body_of_eight_megabytes_and_one_of_none_arrive_whole(queue_url: str, work: str) -> None:
    large = bytes(range(256)) * 32_768

    async with connect(queue_url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        await queue.publish(work, Message("large", large))
        await queue.publish(work, Message("none", b""))

        assert (await inbox.take()).message.body == large
        assert (await inbox.take()).message.body == b""


async def test_messages_come_in_the_order_in_which_they_were_published(queue_url: str, work: str) -> None:
    ids = [f"m{n}" for n in range(500)]

    async with connect(queue_url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 50, inbox)
        await asyncio.gather(*(queue.publish(work, Message(each, b"x")) for each in ids))

        assert await inbox.acknowledge(len(ids)) == ids


async def test_two_consumers_share_a_queue_and_neither_gets_the_others_message(
    queue_url: str, work: str
) -> None:
    ids = {f"m{n}" for n in range(40)}

    async with connect(queue_url, [work], name="one") as one, connect(queue_url, [work], name="two") as two:
        inbox = Inbox()
        await one.consume(work, 5, inbox)
        await two.consume(work, 5, inbox)
        await asyncio.gather(*(one.publish(work, Message(each, b"x")) for each in ids))

        got = await inbox.acknowledge(len(ids))
        assert len(got) == len(set(got)) and set(got) == ids
        await eventually(lambda: one.count_ready(work), 0)


async def test_no_more_than_the_prefetch_is_delivered_unsettled(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        for n in range(5):
            await queue.publish(work, Message(f"m{n}", b"x"))
        inbox = Inbox()
        await queue.consume(work, 2, inbox)
        first, second = await inbox.take(), await inbox.take()
        await eventually(lambda: queue.count_ready(work), 3)
        assert len(inbox) == 0

        first.acknowledge()
        third = await inbox.take()
        await eventually(lambda: queue.count_ready(work), 2)
        assert len(inbox) == 0

        assert second.acknowledge() and third.acknowledge()
        assert await inbox.acknowledge(2) == ["m3", "m4"]


async def test_a_message_handed_back_goes_to_another_consumer_at_once(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="one") as one, connect(queue_url, [work], name="two") as two:
        inbox = Inbox()
        subscription = await one.consume(work, 10, inbox)
        await one.publish(work, Message("m", b"x"))
        delivery = await inbox.take()
        await subscription.stop()
        other = Inbox()
        await two.consume(work, 10, other)

        assert delivery.hand_back()

        again = await other.take()
        assert (again.message.id, again.redelivered) == ("m", True)
        assert again.acknowledge()


async def test_settling_twice_does_nothing_the_second_time(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        await queue.publish(work, Message("m1", b"x"))
        delivery = await inbox.take()
        assert delivery.acknowledge()

        assert not delivery.acknowledge()
        assert not delivery.hand_back()

        await queue.publish(work, Message("m2", b"x"))
        assert await inbox.acknowledge(1) == ["m2"]
        await eventually(lambda: queue.count_ready(work), 0)


async def test_after_stop_nothing_more_comes_and_what_is_held_can_be_settled(
    queue_url: str, work: str
) -> None:
    async with connect(queue_url, [work], name="one") as one, connect(queue_url, [work], name="two") as two:
        inbox = Inbox()
        subscription = await one.consume(work, 2, inbox)
        for n in range(3):
            await one.publish(work, Message(f"m{n}", b"x"))
        first, second = await inbox.take(), await inbox.take()

        await subscription.stop()
        assert first.acknowledge()
        assert second.hand_back()
        await one.publish(work, Message("m3", b"x"))

        other = Inbox()
        await two.consume(work, 10, other)
        assert set(await other.acknowledge(3)) == {"m1", "m2", "m3"}
        assert len(inbox) == 0


async def test_stopping_in_full_flow_loses_nothing(queue_url: str, work: str) -> None:
    ids = {f"m{n}" for n in range(300)}

    async with connect(queue_url, [work], name="one") as one, connect(queue_url, [work], name="two") as two:
        taken: set[str] = set()
        flowing = asyncio.Event()

        def receive(delivery: Delivery) -> None:
            assert delivery.acknowledge()
            taken.add(delivery.message.id)
            if len(taken) == 20:
                flowing.set()

        subscription = await one.consume(work, 10, receive)
        publishing = asyncio.gather(*(one.publish(work, Message(each, b"x")) for each in ids))
        await flowing.wait()
        await subscription.stop()
        before = set(taken)
        await publishing

        inbox = Inbox()
        await two.consume(work, 10, inbox)
        rest = await inbox.acknowledge(len(ids) - len(before))
        assert set(rest) == ids - before
        assert taken == before


async def test_a_caller_who_gives_up_on_a_publish_disturbs_no_other(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        await connected(queue, work)
        publishing = [asyncio.create_task(queue.publish(work, Message(f"m{n}", b"x"))) for n in range(100)]
        await asyncio.sleep(0)
        for each in publishing[::2]:
            each.cancel()
        await asyncio.gather(*publishing[1::2])

        inbox = Inbox()
        await queue.consume(work, 100, inbox)
        wanted = {f"m{n}" for n in range(1, 100, 2)}
        while wanted:
            wanted -= set(await inbox.acknowledge(1))


async def test_acknowledgements_made_just_before_closing_are_not_lost(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 100, inbox)
        for n in range(50):
            await queue.publish(work, Message(f"m{n}", b"x"))
        deliveries = [await inbox.take() for _ in range(50)]
        for delivery in (*deliveries[1::2], *deliveries[:20:2]):
            assert delivery.acknowledge()

    async with connect(queue_url, [work], name="test") as queue:
        again = Inbox()
        await queue.consume(work, 100, again)
        assert set(await again.acknowledge(15)) == {f"m{n}" for n in range(20, 50, 2)}
        await eventually(lambda: queue.count_ready(work), 0)


async def test_what_a_lost_connection_held_comes_again_and_reports_it(queue_url: str, work: str) -> None:
    async with (
        relay(queue_url) as proxy,
        connect(proxy.url, [work], name="lost") as lost,
        connect(queue_url, [work], name="other") as other,
    ):
        inbox = Inbox()
        await lost.consume(work, 10, inbox)
        await other.publish(work, Message("m", b"x"))
        held = await inbox.take()
        assert not held.redelivered

        await proxy.shut()

        second = Inbox()
        await other.consume(work, 10, second)
        again = await second.take(60)
        assert (again.message.id, again.redelivered) == ("m", True)
        assert not held.acknowledge()
        assert again.acknowledge()


async def test_a_delivery_is_void_once_its_connection_is_lost_though_a_new_one_stands(
    queue_url: str, work: str
) -> None:
    async with relay(queue_url) as proxy, connect(proxy.url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        await queue.publish(work, Message("m", b"x"))
        held = await inbox.take()

        proxy.cut()
        again = await inbox.take(60)

        assert again.redelivered
        assert not held.acknowledge()
        assert not held.hand_back()
        assert again.acknowledge()
        await queue.publish(work, Message("m2", b"x"))
        assert await inbox.acknowledge(1) == ["m2"]


async def test_a_delayed_message_never_comes_early(queue_url: str, work: str) -> None:
    delays = [0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.3]

    async with connect(queue_url, [work], name="test") as queue:
        loop = asyncio.get_running_loop()
        came: dict[str, float] = {}

        def receive(delivery: Delivery) -> None:
            came[delivery.message.id] = loop.time()
            inbox(delivery)

        inbox = Inbox()
        await queue.consume(work, 10, receive)
        start = loop.time()
        await asyncio.gather(
            *(queue.publish(work, Message(str(delay), b"x"), after=delay) for delay in delays)
        )

        assert sorted(await inbox.acknowledge(len(delays))) == sorted(map(str, delays))
        assert all(came[str(delay)] >= start + delay for delay in delays)


async def test_a_short_delay_is_not_held_up_by_a_long_one(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        await queue.publish(work, Message("long", b"x"), after=86_400.0)
        await queue.publish(work, Message("short", b"x"), after=0.2)

        assert await inbox.acknowledge(1) == ["short"]


async def test_the_longest_delay_is_taken_and_a_longer_one_refused(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        await queue.publish(work, Message("longest", b"x"), after=LONGEST_DELAY_S)
        for after in (LONGEST_DELAY_S + 1, math.inf, math.nan, -1.0):
            with pytest.raises(ValueError, match="a delay of"):
                await queue.publish(work, Message("refused", b"x"), after=after)

        assert await queue.count_ready(work) == 0
        await queue.publish(work, Message("now", b"x"))
        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        assert await inbox.acknowledge(1) == ["now"]


async def test_a_delay_can_lead_to_the_dead_queue_as_to_any_other(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(dead_queue(work), 10, inbox)
        await queue.publish(dead_queue(work), Message("now", b"x", {"mousetrap-reason": "max-retries"}))
        await queue.publish(dead_queue(work), Message("later", b"x"), after=0.1)

        now, later = await inbox.take(), await inbox.take()
        assert (now.message.id, now.message.headers) == ("now", {"mousetrap-reason": "max-retries"})
        assert (now.queue, later.message.id) == (dead_queue(work), "later")
        assert now.acknowledge() and later.acknowledge()


@on_servers
async def test_the_length_that_the_settings_allow_pushes_back_on_submitters_until_there_is_room(
    queue_url: str, work: str
) -> None:
    settings = Settings.from_environ(
        {
            "MOUSETRAP_BROKER_URL": queue_url,
            "MOUSETRAP_QUEUE_MAX_LENGTH": "3",
            "MOUSETRAP_STORE_URL": "valkey://unused",
        }
    )

    async with open_queue(settings, [work], name="test") as queue:
        taken = 0
        with pytest.raises(QueueFull, match=work):
            for n in range(50):  # a quorum queue notices a little late that it is full
                await queue.publish(work, Message(f"m{n}", b"x"))
                taken += 1
        assert taken >= 3
        await eventually(lambda: queue.count_ready(work), taken)

        inbox = Inbox()
        await queue.consume(work, 50, inbox)
        assert await inbox.acknowledge(taken) == [f"m{n}" for n in range(taken)]

        await eventually(lambda: publishes(queue, work), True)
        assert await inbox.acknowledge(1) == ["again"]


@on_servers
@pytest.mark.parametrize(
    ("bounds", "size", "met"),
    [
        ({"MAX_LENGTH": "3"}, 10, "as many as MOUSETRAP_QUEUE_MAX_LENGTH allows"),
        (
            {"MAX_LENGTH": "1000", "MAX_BYTES": "300000"},
            50_000,
            "as many as MOUSETRAP_QUEUE_MAX_BYTES allows",
        ),
    ],
)
async def test_a_full_queue_reports_which_bound_it_has_met_and_loses_nothing(
    queue_url: str, work: str, bounds: dict[str, str], size: int, met: str
) -> None:
    settings = Settings.from_environ(
        {
            "MOUSETRAP_BROKER_URL": queue_url,
            "MOUSETRAP_STORE_URL": "valkey://unused",
            **{f"MOUSETRAP_QUEUE_{name}": value for name, value in bounds.items()},
        }
    )

    async with open_queue(settings, [work], name="test") as queue:
        taken = 0
        with pytest.raises(QueueFull, match=met):
            for n in range(50):  # a quorum queue notices a little late that it is full
                await queue.publish(work, Message(f"m{n}", os.urandom(size)))
                taken += 1
        assert taken >= 3

        inbox = Inbox()
        await queue.consume(work, 50, inbox)
        assert await inbox.acknowledge(taken) == [f"m{n}" for n in range(taken)]
        await eventually(lambda: publishes(queue, work), True)


async def publishes(queue: Queue, work: str) -> bool:
    try:
        await queue.publish(work, Message("again", b"x"))
    except QueueFull:
        return False
    return True


@pytest.mark.parametrize("after", [0.0, 0.5])
@pytest.mark.parametrize("own", [True, False], ids=["with queues of its own", "without any"])
async def test_a_queue_of_another_process_takes_messages_delayed_ones_too(
    queue_url: str, work: str, after: float, own: bool
) -> None:
    async with (
        connect(queue_url, [work], name="worker") as worker,
        connect(queue_url, [f"{work}_other"] if own else [], name="api") as api,
    ):
        await connected(worker, work)
        await eventually(lambda: api.count_ready(work), 0)
        await api.publish(work, Message("m", b"x"), after=after)

        inbox = Inbox()
        await worker.consume(work, 1, inbox)
        assert await inbox.acknowledge(1) == ["m"]


@pytest.mark.parametrize("after", [0.0, 0.5])
async def test_a_queue_that_is_not_there_is_an_error_and_never_silence(
    queue_url: str, work: str, after: float
) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        with pytest.raises(Unroutable, match="nowhere"):
            await queue.publish("nowhere", Message("m", b"x"), after=after)
        with pytest.raises(Unroutable, match="nowhere"):
            await queue.count_ready("nowhere")
        await queue.publish(work, Message("m", b"x"))
        await eventually(lambda: queue.count_ready(work), 1)


async def test_ready_counts_what_waits_and_neither_what_is_held_nor_what_is_delayed(
    queue_url: str, work: str
) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        await eventually(lambda: queue.count_ready(work), 0)
        for n in range(3):
            await queue.publish(work, Message(f"m{n}", b"x"))
        await queue.publish(work, Message("later", b"x"), after=3_600.0)
        await eventually(lambda: queue.count_ready(work), 3)

        inbox = Inbox()
        await queue.consume(work, 1, inbox)
        await inbox.take()
        await eventually(lambda: queue.count_ready(work), 2)


async def test_while_the_broker_is_away_callers_get_an_error_in_time_that_reports_where_it_should_be(
    queue_url: str, work: str
) -> None:
    async with relay(queue_url) as proxy:
        await proxy.shut()
        where = proxy.url.rpartition("@")[2].removeprefix("valkey://").partition("/")[0]
        async with connect(proxy.url, [work], name="test", options=SHORT_DEADLINE) as queue:
            with pytest.raises(QueueUnreachable, match=where) as published:
                await queue.publish(work, Message("m", b"x"))
            with pytest.raises(QueueUnreachable, match=where):
                await queue.check()
            with pytest.raises(QueueUnreachable, match=where):
                await queue.count_ready(work)
            assert "guest:guest" not in str(published.value)
        await proxy.open()


async def test_check_returns_when_the_broker_answers(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        await connected(queue, work)
        await queue.check()


async def test_a_message_published_during_an_outage_arrives_when_it_is_over(
    queue_url: str, work: str
) -> None:
    async with relay(queue_url) as proxy, connect(proxy.url, [work], name="test") as queue:
        await queue.publish(work, Message("before", b"x"))
        await proxy.shut()
        publishing = asyncio.create_task(queue.publish(work, Message("during", b"x")))
        await asyncio.wait([publishing], timeout=0.1)
        assert not publishing.done()

        await proxy.open()
        await publishing

        inbox = Inbox()
        await queue.consume(work, 10, inbox)
        assert await inbox.acknowledge(2) == ["before", "during"]


async def test_what_was_on_its_way_when_the_connection_was_lost_is_there_or_is_an_error(
    queue_url: str, work: str
) -> None:
    async with relay(queue_url) as proxy, connect(proxy.url, [work], name="test") as queue:
        await connected(queue, work)
        publishing = [
            asyncio.create_task(queue.publish(work, Message(f"m{n}", b"x" * 1000))) for n in range(300)
        ]
        await asyncio.wait(publishing, return_when=asyncio.FIRST_COMPLETED)
        proxy.cut()

        results = await asyncio.gather(*publishing, return_exceptions=True)
        accepted = {f"m{n}" for n, result in enumerate(results) if result is None}
        assert all(
            isinstance(each, QueueUnreachable | PublishUnconfirmed) for each in results if each is not None
        )
        inbox = Inbox()
        await queue.consume(work, 100, inbox)
        while accepted:
            accepted -= set(await inbox.acknowledge(1))


async def test_a_subscription_made_while_the_broker_is_away_begins_when_it_comes(
    queue_url: str, work: str
) -> None:
    async with relay(queue_url) as proxy:
        await proxy.shut()
        async with connect(proxy.url, [work], name="early") as early:
            inbox = Inbox()
            await early.consume(work, 10, inbox)
            async with connect(queue_url, [work], name="test") as queue:
                await queue.publish(work, Message("m", b"x"))

            await proxy.open()

            assert await inbox.acknowledge(1) == ["m"]


async def test_a_subscription_can_be_stopped_while_the_broker_is_away(queue_url: str, work: str) -> None:
    async with relay(queue_url) as proxy, connect(proxy.url, [work], name="test") as queue:
        inbox = Inbox()
        subscription = await queue.consume(work, 10, inbox)
        await queue.publish(work, Message("m", b"x"))
        held = await inbox.take()
        await proxy.shut()

        await asyncio.wait_for(subscription.stop(), 60)
        await proxy.open()

        async with connect(queue_url, [work], name="other") as other:
            second = Inbox()
            await other.consume(work, 10, second)
            assert (await second.take(60)).message.id == "m"
        assert not held.acknowledge()
        assert len(inbox) == 0


async def test_a_restarted_broker_has_kept_everything_and_is_used_again_without_an_error(
    server: OwnRabbitMQ | EmbeddedValkey, work: str
) -> None:
    async with connect(server.url, [work], name="test") as queue:
        inbox = Inbox()
        await queue.consume(work, 1, inbox)
        await queue.publish(work, Message("held", b"x"))
        await queue.publish(work, Message("waiting", b"x"))
        # Due when the server is back: what comes due while a broker starts may wait for its next try.
        away = 1.0 if isinstance(server, EmbeddedValkey) else 15.0
        await queue.publish(work, Message("delayed", b"x"), after=away)
        held = await inbox.take()

        await asyncio.to_thread(server.restart)

        await queue.publish(work, Message("after", b"x"))
        assert not held.acknowledge()
        assert set(await inbox.acknowledge(4)) == {"held", "waiting", "delayed", "after"}


async def test_a_mark_differs_once_a_message_came_or_went(queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        await connected(queue, work)
        marks = [await queue.mark(work)]
        assert await queue.mark(work) == marks[0]
        await queue.publish(work, Message("m1", b"x"))
        await eventually(lambda: queue.count_ready(work), 1)
        marks.append(await queue.mark(work))
        inbox = Inbox()
        await queue.consume(work, 1, inbox)
        await queue.publish(work, Message("m2", b"x"))
        assert await inbox.acknowledge(1) == ["m1"]
        assert (await inbox.take()).message.id == "m2"
        await eventually(lambda: queue.count_ready(work), 0)

        assert marks[0] != marks[1] != await queue.mark(work)
        with pytest.raises(Unroutable):
            await queue.mark("no_such_queue")


async def test_a_browse_shows_what_is_there_and_takes_nothing_or_reports_that_it_would(
    queue_url: str, work: str
) -> None:
    async with connect(queue_url, [work], name="test") as queue:
        for number in range(120):
            await queue.publish(work, Message(f"m{number}", b"x" * 100, {"mousetrap-a": "1"}))

        whole, some = await queue.browse(work, 1000, 1_000_000), await queue.browse(work, 70, 1_000_000)
        few = await queue.browse(work, 1000, 1)

        if not queue_url.startswith("valkey"):
            assert whole is some is few is None
        else:
            assert whole is not None and some is not None and few is not None
            assert [message.id for message in whole.messages] == [f"m{number}" for number in range(120)]
            assert whole.messages[0] == Message("m0", b"x" * 100, {"mousetrap-a": "1"})
            assert (whole.beyond, len(some.messages), some.beyond) == (0, 70, 50)
            assert few.messages and len(few.messages) + few.beyond == 120
        inbox = Inbox()
        await queue.consume(work, 1, inbox)
        delivery = await inbox.take()
        assert (delivery.message.id, delivery.redelivered) == ("m0", False)
