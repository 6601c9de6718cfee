"""Unconfirmed messages after a confirm, a return or a loss."""

import asyncio
from collections.abc import Sequence

import pytest

from mousetrap.job_queue.broker_status import BrokerStatus
from mousetrap.job_queue.pending import Pending
from mousetrap.job_queue.publisher import Publisher, Unconfirmed, Way
from mousetrap.job_queue.topology.topology import Topology, topology
from mousetrap.job_queue.wire import Wire, WireEvents, encoded
from mousetrap.jobs import Message, MousetrapError, PublishUnconfirmed, QueueOptions, Unroutable


@pytest.mark.parametrize(
    ("confirms", "settled", "left"),
    [
        ([(2, False)], ["m2"], ["m1", "m3", "m4"]),
        ([(3, True)], ["m1", "m2", "m3"], ["m4"]),
        ([(2, False), (3, True)], ["m2", "m1", "m3"], ["m4"]),
        ([(4, True), (2, False)], ["m1", "m2", "m3", "m4"], []),
        ([(9, False)], [], ["m1", "m2", "m3", "m4"]),
    ],
)
def test_a_confirm_is_for_one_message_or_for_all_up_to_it(
    confirms: list[tuple[int, bool]], settled: list[str], left: list[str]
) -> None:
    table = in_flight("m1", "m2", "m3", "m4")

    taken = [pending for tag, multiple in confirms for pending in table.confirmed(tag, multiple)]

    assert ids(taken) == settled
    assert ids(table.lost()) == left


def test_a_return_marks_the_oldest_of_that_id_and_queue_that_is_not_marked() -> None:
    table = in_flight("a", "b", "b", "c")

    table.returned("b", "q")
    table.returned("b", "q")
    table.returned("c", "elsewhere")

    assert [pending.returned for pending in table.lost()] == [False, True, True, False]


def test_after_a_loss_the_next_channel_counts_from_one() -> None:
    table = in_flight("old1", "old2")
    table.lost()

    send(table, message("new"))

    assert ids(table.confirmed(1, False)) == ["new"]


def test_what_was_returned_on_a_lost_channel_is_no_longer_returned_once_it_is_sent_again() -> None:
    table = in_flight("m1")
    table.returned("m1", "q")
    table.waiting.extend(table.lost())

    again = table.next()

    assert again is not None
    assert not again.returned


def test_a_late_message_is_removed_and_its_confirm_has_no_effect() -> None:
    table = Unconfirmed()
    for each, deadline in (("early", 10.0), ("late", 5.0)):
        assert send(table, message(each, deadline=deadline))

    assert ids(table.late(7.0)) == ["late"]
    assert ids(table.confirmed(2, False)) == []
    assert ids(table.lost()) == ["early"]


def test_there_is_room_until_messages_or_bytes_are_too_many_and_again_after_a_confirm() -> None:
    many, large = Unconfirmed(), Unconfirmed()
    for _ in range(2_000):
        assert send(many, message("small"))
    for _ in range(2):
        assert send(large, message("large", body=bytes(16_777_216)))

    assert not send(many, message("small"))
    assert not send(large, message("large"))
    many.confirmed(1, False)
    large.confirmed(1, True)
    assert many.next()
    assert large.next()


def test_a_message_whose_caller_has_left_while_it_waited_is_not_sent() -> None:
    table = Unconfirmed()
    table.waiting.extend([message("left"), message("stays")])
    table.waiting[0].leave()

    assert ids([sent for _ in range(2) if (sent := table.next())]) == ["stays"]
    assert ids(table.confirmed(1, False)) == ["stays"]


async def test_a_queue_whose_name_is_too_long_for_any_is_not_there_and_takes_no_confirm_of_another() -> None:
    """The broker counts what it gets: what is counted here and cannot be sent would take the confirm of the next."""
    publisher, wire = await connected()
    found: dict[str, MousetrapError | None] = {}

    with pytest.raises(Unroutable, match="there is no queue"):
        async with asyncio.timeout(60.0):
            await publisher.publish("q" * 256, Message("m1", b"x"))
    publisher.post("q", Message("m2", b"x"), lambda error: found.update(m2=error))
    publisher.confirmed(len(wire.sent), multiple=False, refused=False)

    assert found == {"m2": None}
    await publisher.close()


async def test_a_returned_message_ends_at_its_deadline_while_its_queue_cannot_be_declared() -> None:
    """As where the broker blocks the connection before it has read the declaration."""
    publisher, wire = await connected(deadline=0.1)
    wire.declared.clear()
    result: asyncio.Future[MousetrapError | None] = asyncio.get_running_loop().create_future()

    publisher.post("q", Message("m1", b"x"), result.set_result)
    publisher.returned("m1", "q")
    publisher.confirmed(1, multiple=False, refused=False)

    async with asyncio.timeout(60.0):
        assert isinstance(await result, PublishUnconfirmed)
    await publisher.close()


class CountingWire:
    """A wire that encodes what it sends, as one to a broker does."""

    blocked = False

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.declared = asyncio.Event()
        self.declared.set()

    def send(self, pending: Pending) -> None:
        self.sent.append(encoded(pending, 1, 131_072))

    async def declare(self, topology: Topology) -> None:
        """Returns once the broker has read it."""
        await self.declared.wait()

    def abort(self, error: Exception) -> None:
        """Nothing to cut."""


async def connected(deadline: float = 30.0) -> tuple[Publisher, CountingWire]:
    """A publisher whose wire is open."""
    wire = CountingWire()

    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    async def open_wire(_connection: object, _topology: Topology, _events: WireEvents) -> Wire:
        return wire

    async def why_full(_queue: str) -> str:
        return ""

    way = Way(never, open_wire)
    publisher = Publisher(topology(["q"], QueueOptions()), deadline, way, BrokerStatus("test"), why_full)
    await publisher._set_up(None)
    return publisher, wire


def message(name: str, *, deadline: float = 1.0, body: bytes = b"x") -> Pending:
    return Pending(
        settled=lambda _: None,
        queue="q",
        exchange="mousetrap.jobs",
        key="q",
        id=name,
        properties=b"",
        body=body,
        deadline=deadline,
    )


def in_flight(*names: str) -> Unconfirmed:
    table = Unconfirmed()
    for name in names:
        send(table, message(name))
    return table


def send(table: Unconfirmed, pending: Pending) -> bool:
    """Whether there was room for the message, which waits otherwise."""
    table.waiting.append(pending)
    return table.next() is pending


def ids(pending: Sequence[Pending]) -> list[str]:
    return [each.id for each in pending]
