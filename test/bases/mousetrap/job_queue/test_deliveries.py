"""Acknowledgements combined: each tag once, and no open one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika.frame import Method, decode_frame
from pika.spec import Basic

from mousetrap.job_queue.amqp import frames
from mousetrap.job_queue.deliveries import OpenDeliveries, combined
from mousetrap.jobs import Delivery, Message


@pytest.mark.parametrize(
    ("unsent", "unsettled", "sent"),
    [
        ([], {1, 2}, []),
        ([1], {2}, [(1, False)]),
        ([1], set(), [(1, False)]),
        ([1, 2, 3], {4}, [(3, True)]),
        ([3, 1, 2], set(), [(3, True)]),
        ([2, 3], {1, 4}, [(2, False), (3, False)]),
        ([1, 2, 4], {3}, [(2, True), (4, False)]),
        # The second was handed back: it is not open, and not sent.
        ([1, 3], {4}, [(3, True)]),
    ],
)
def test_tags_without_an_open_one_below_them_are_sent_as_one_acknowledgement(
    unsent: list[int], unsettled: set[int], sent: list[tuple[int, bool]]
) -> None:
    assert combined(unsent, unsettled) == sent


@given(st.data())
def test_a_broker_that_receives_them_knows_exactly_what_is_settled(data: st.DataObject) -> None:
    tags = data.draw(st.permutations(range(1, data.draw(st.integers(1, 40)) + 1)))
    unsettled, outstanding, unsent = set(tags), set(tags), []

    for tag in tags[: data.draw(st.integers(0, len(tags)))]:
        unsettled.remove(tag)
        if data.draw(st.booleans()):
            unsent.append(tag)
        else:
            outstanding.remove(tag)  # handed back
        if data.draw(st.booleans()):
            receive(combined(unsent, unsettled), outstanding)
            unsent.clear()
    receive(combined(unsent, unsettled), outstanding)

    assert outstanding == unsettled


def receive(sent: Sequence[tuple[int, bool]], outstanding: set[int]) -> None:
    """Acts as a broker; an acknowledgement of a tag that is not outstanding would close the channel."""
    for tag, multiple in sent:
        assert tag in outstanding
        outstanding -= {each for each in outstanding if each <= tag} if multiple else {tag}


class BrokerChannel:
    """A channel as the broker has it: what is delivered on it, and what became of that."""

    channel_number = 1
    is_closing = False

    def __init__(self) -> None:
        self.connection = self
        self.receive: Callable[[frames.Delivered], None]
        self.consumer_tags: list[str] = []
        self.is_open = True
        self.outstanding: set[int] = set()
        self.acknowledged: set[int] = set()
        self.handed_back: set[int] = set()
        self.writes: list[int] = []
        self._delivered = 0

    @property
    def is_closed(self) -> bool:
        return not self.is_open

    def send(self, data: bytes) -> None:
        """Acts on acknowledgements. One of a tag that is not outstanding would close the channel."""
        while data:
            end, frame = decode_frame(data)
            data, ack = data[end:], frame.method
            assert self.is_open and ack.NAME == "Basic.Ack" and ack.delivery_tag in self.outstanding
            tags = {tag for tag in self.outstanding if tag <= ack.delivery_tag}
            tags = tags if ack.multiple else {ack.delivery_tag}
            self.outstanding -= tags
            self.acknowledged |= tags
            self.writes.append(len(tags))

    def basic_nack(self, tag: int, *, requeue: bool) -> None:
        assert self.is_open and requeue
        self.outstanding.remove(tag)
        self.handed_back.add(tag)

    def arrive(self) -> None:
        """Delivers the next message."""
        self._delivered += 1
        self.outstanding.add(self._delivered)
        self.receive(frames.Delivered(self._delivered, False, Message("id", b""), 0, 0))

    def deliver(self, _channel: Any, tag: str, receive: Callable[[frames.Delivered], None]) -> None:
        self.consumer_tags.append(tag)
        self.receive = receive

    def basic_qos(self, prefetch_count: int, callback: Callable[[Any], None]) -> None:
        callback(Method(1, Basic.QosOk()))

    def basic_consume(self, *_: Any, callback: Callable[[Any], None], **_named: Any) -> None:
        callback(Method(1, Basic.ConsumeOk()))

    def basic_cancel(self, tag: str, callback: Callable[[Any], None]) -> None:
        self.consumer_tags.remove(tag)
        callback(Method(1, Basic.CancelOk()))

    def close(self) -> None:
        self.is_open = False

    def add_on_close_callback(self, _: Any) -> None: ...

    def add_on_cancel_callback(self, _: Any) -> None: ...


#: Few, so that the window fills up.
PREFETCH = 8


@given(st.data())
def test_a_broker_has_exactly_what_was_acknowledged_after_each_turn_and_at_the_end(
    data: st.DataObject,
) -> None:
    asyncio.run(any_order(data))


async def any_order(data: st.DataObject) -> None:
    """Messages arrive and are settled in any order; the window is as full as what is not settled."""
    channel, held, acknowledged = BrokerChannel(), list[Delivery](), set[int]()
    tags: dict[int, int] = {}

    def receive(delivery: Delivery) -> None:
        tags[id(delivery)] = len(tags) + 1
        held.append(delivery)

    deliveries = OpenDeliveries("work", channel, receive)
    await deliveries.begin(PREFETCH)
    kept: list[Delivery] = []
    for step in data.draw(st.lists(st.sampled_from(["arrive", "arrive", "ack", "ack", "hand back", "turn"]))):
        if step == "arrive" and len(channel.outstanding) < PREFETCH:
            channel.arrive()
        elif step == "turn":
            await asyncio.sleep(0)
            assert channel.acknowledged == acknowledged
            assert len(channel.outstanding) == len(held)
        elif step in ("ack", "hand back") and held:
            delivery = held.pop(data.draw(st.integers(0, len(held) - 1)))
            kept.append(delivery)  # so that no later one has its id
            if step == "ack":
                assert delivery.acknowledge()
                acknowledged.add(tags[id(delivery)])
            else:
                assert delivery.hand_back()
            assert not delivery.acknowledge()
    await deliveries.stop()
    assert channel.acknowledged == acknowledged
    for delivery in held:
        assert channel.is_open
        assert delivery.acknowledge()
        await asyncio.sleep(0)
    assert not channel.is_open
    assert not channel.outstanding


async def test_the_acknowledgements_of_a_turn_are_one_frame_up_to_a_gap_and_one_each_beyond_it() -> None:
    channel, held = BrokerChannel(), list[Delivery]()
    await OpenDeliveries("work", channel, held.append).begin(20)
    for _ in range(20):
        channel.arrive()

    for delivery in (*held[:10], *held[11:14]):
        delivery.acknowledge()
    await asyncio.sleep(0)
    assert channel.writes == [10, 1, 1, 1]

    for delivery in (held[10], *held[14:]):
        delivery.acknowledge()
    await asyncio.sleep(0)
    assert channel.writes == [10, 1, 1, 1, 7]
