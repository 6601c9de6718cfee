"""The backlog of a queue, read without taking a message."""

import time
from collections.abc import Sequence

import pytest
from msgspec.structs import astuple

from mousetrap.job_queue import connect
from mousetrap.jobs import Backlog, Message, Queue, Unroutable
from support.inbox import Inbox, eventually
from support.workbench import connected

pytestmark = pytest.mark.servers


@pytest.fixture(params=["rabbitmq", "streams"])
def url(request: pytest.FixtureRequest) -> str:
    """The address of each kind of queue in turn, with nothing on it."""
    address: str = request.getfixturevalue("broker_url" if request.param == "rabbitmq" else "store_url")
    return address


async def test_consumers_can_report_since_when_the_rest_waits_and_looking_takes_nothing(
    url: str, work: str
) -> None:
    async with connect(url, [work], name="test") as queue:
        await eventually(lambda: queue.backlog(work), Backlog(0, None))
        before = time.time()
        await queue.publish(work, Message("m1", b"x"))
        inbox = Inbox()
        await queue.consume(work, 1, inbox)
        first = await inbox.take()
        await queue.publish(work, Message("m2", b"x"))
        after = time.time()
        await queue.publish(work, Message("m3", b"x"))
        await eventually(lambda: queue.count_ready(work), 2)

        looks = [await queue.backlog(work) for _ in range(5)]

        assert {(look.ready, look.consumers) for look in looks} == {(2, 1)}
        assert all(look.since_ms and before - 1 < look.since_ms / 1000 <= after for look in looks)
        assert first.acknowledge()
        for expected in ("m2", "m3"):
            delivery = await inbox.take()
            assert (delivery.message.id, delivery.redelivered) == (expected, False)
            assert delivery.acknowledge()


async def test_a_job_does_not_wait_before_it_is_due(url: str, work: str) -> None:
    async with connect(url, [work], name="test") as queue:
        await connected(queue, work)
        before = time.time()
        await queue.publish(work, Message("late", b"x"), after=1.5)
        ready = (await queue.backlog(work)).ready
        assert ready == 0 or time.time() >= before + 1.5  # on a busy machine it may be due before the look
        inbox = Inbox()
        await queue.consume(work, 1, inbox)
        await inbox.take()
        await queue.publish(work, Message("next", b"x"))
        await eventually(lambda: queue.count_ready(work), 1)

        since_ms = (await queue.backlog(work)).since_ms

        assert since_ms is not None
        assert int(before + 1.5) <= since_ms / 1000 <= time.time()


async def test_what_came_due_and_no_worker_has_let_in_waits_since_then(store_url: str, work: str) -> None:
    async with connect(store_url, [work], name="test") as queue:
        before = time.time()
        await queue.publish(work, Message("late", b"x"), after=0.2)
        await eventually(lambda: queue.count_ready(work), 1)

        seen = await queue.backlog(work)

        assert seen.since_ms is not None
        assert int((before + 0.2) * 1000) <= seen.since_ms <= time.time() * 1000


async def test_the_embedded_queue_shows_everyone_since_when_and_to_the_millisecond(
    store_url: str, work: str
) -> None:
    async with (
        connect(store_url, [work], name="worker") as queue,
        connect(store_url, [work], name="somebody") as other,
    ):
        await queue.publish(work, Message("taken", b"x"))
        inbox = Inbox()
        await queue.consume(work, 1, inbox)
        await inbox.take()
        before = time.time()
        await queue.publish(work, Message("waits", b"x"))
        after = time.time()

        (ready, since_ms, consumers) = astuple(await other.backlog(work))

        assert (ready, consumers) == (1, 1)
        assert int(before * 1000) <= since_ms <= after * 1000


async def test_of_a_queue_that_is_not_there_nothing_is_reported(url: str, work: str) -> None:
    async with connect(url, [work], name="test") as queue:
        await connected(queue, work)
        with pytest.raises(Unroutable, match="elsewhere"):
            await queue.backlog("elsewhere")


async def test_many_are_counted_together_and_those_that_are_missing_are_left_out(url: str, work: str) -> None:
    names = [f"{work}{number}" for number in range(8)]
    there, elsewhere = names[::2], [*names[1::2], "x" * 256]
    async with connect(url, there, name="test") as queue:
        await connected(queue, work + "0")
        for number, name in enumerate(there):
            for each in range(number):
                await queue.publish(name, Message(f"m{each}", b"x"))
        inbox = Inbox()
        await queue.consume(there[3], 1, inbox)
        await inbox.take()
        expected = {names[0]: 0, names[2]: 1, names[4]: 2, names[6]: 2}

        async def ready() -> dict[str, int]:
            found = await queue.backlogs([*names, *elsewhere, *names])
            return {name: each.ready for name, each in found.items()}

        await eventually(ready, expected)

        assert await ready() == expected  # once more, now that it is known what is missing
        found = await queue.backlogs(there)
        assert found == {name: await queue.backlog(name) for name in there}
        assert [found[name].consumers for name in there] == [0, 0, 0, 1]
        assert await queue.backlogs([]) == {}
    async with connect(url, names, name="test") as queue:
        await eventually(lambda: _names(queue, names), set(names))


async def _names(queue: Queue, names: Sequence[str]) -> set[str]:
    return set(await queue.backlogs(names))
