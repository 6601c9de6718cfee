"""The queue on Valkey: expired members, put-back entries, lost data."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import IO, Any

import pytest
from redis import Redis

from mousetrap.embedded_valkey import EmbeddedValkey
from mousetrap.jobs import (
    Delivery,
    Message,
    PublishUnconfirmed,
    Queue,
    QueueFull,
    QueueOptions,
    QueueUnreachable,
    Unroutable,
    dead_queue,
    queues_of,
)
from mousetrap.stream_queue import open_stream_queue
from support.inbox import eventually
from support.ports import closed_port
from support.valkey import administrator
from support.waiting import until

#: Takes one message, prints its id, and settles it when a line arrives.
_WORKER = """
import asyncio, sys
from mousetrap.jobs import QueueOptions
from mousetrap.stream_queue import open_stream_queue

async def work():
    async with open_stream_queue(sys.argv[1], ["work"], name="worker", options=QueueOptions()) as queue:
        await queue.consume("work", 1, lambda delivery: asyncio.create_task(settle(delivery)))
        await settled.wait()

async def settle(delivery):
    print(delivery.message.id, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    delivery.acknowledge()
    settled.set()

settled = asyncio.Event()
asyncio.run(work())
"""


class Inbox:
    """The deliveries of a subscription."""

    def __init__(self) -> None:
        self._received: asyncio.Queue[Delivery] = asyncio.Queue()
        self.receive = self._received.put_nowait

    async def next(self) -> Delivery:
        async with asyncio.timeout(60):
            return await self._received.get()


@asynccontextmanager
async def opened(url: str, *, name: str = "test", **options: Any) -> AsyncIterator[Queue]:
    async with open_stream_queue(url, ["work", "other"], name=name, options=QueueOptions(**options)) as queue:
        yield queue


@contextmanager
def raw(url: str) -> Iterator[Redis]:
    with Redis.from_url(administrator(url)) as client:
        yield client


@contextmanager
def worker(url: str) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    """A process with one unsettled delivery."""
    with subprocess.Popen(
        [sys.executable, "-c", _WORKER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == "held\n"
            yield process, process.stdin
        finally:
            process.kill()


def let_members_lapse(url: str) -> None:
    """The effect of five seconds without a renewal."""
    with raw(url) as client:
        keys = client.keys("mousetrap:consumer:*")
        assert keys
        client.delete(*keys)


async def publish(url: str, *ids: str) -> None:
    async with opened(url) as queue:
        await asyncio.gather(*(queue.publish("work", Message(each, b"body")) for each in ids))


async def test_what_a_killed_worker_held_comes_back_once_its_membership_has_lapsed(store_url: str) -> None:
    await publish(store_url, "held")
    with worker(store_url) as (process, _):
        process.kill()
        process.wait()
        let_members_lapse(store_url)

    inbox = Inbox()
    async with opened(store_url) as queue:
        assert await queue.count_ready("work") == 1
        await queue.consume("work", 10, inbox.receive)

        delivery = await inbox.next()

        assert delivery.message == Message("held", b"body")
        assert delivery.redelivered


async def test_the_acknowledgement_of_a_worker_that_was_taken_for_dead_does_nothing(store_url: str) -> None:
    await publish(store_url, "held")

    with worker(store_url) as (process, stdin):
        os.kill(process.pid, signal.SIGSTOP)
        let_members_lapse(store_url)
        inbox = Inbox()
        async with opened(store_url) as queue:
            await queue.consume("work", 1, inbox.receive)
            delivery = await inbox.next()

            os.kill(process.pid, signal.SIGCONT)
            stdin.write("settle\n")
            stdin.flush()
            await asyncio.to_thread(process.wait)

            assert delivery.hand_back()
            assert (await inbox.next()).message.id == "held"


async def test_a_process_that_lapsed_gets_its_messages_again_and_its_old_deliveries_are_void(
    store_url: str,
) -> None:
    inbox = Inbox()
    async with opened(store_url) as queue:
        await queue.consume("work", 1, inbox.receive)
        await queue.publish("work", Message("held", b"body"))
        old = await inbox.next()

        let_members_lapse(store_url)
        new = await inbox.next()

        assert (new.message.id, new.redelivered) == ("held", True)
        assert not old.acknowledge()
        assert not old.hand_back()
        assert new.acknowledge()

    with raw(store_url) as client:
        assert client.xlen("mousetrap:queue:work") == 0


async def test_leaving_leaves_no_member_and_no_settled_message_behind(store_url: str) -> None:
    inbox = Inbox()
    async with opened(store_url) as queue:
        await queue.consume("work", 2, inbox.receive)
        for each in ("settled", "unsettled"):
            await queue.publish("work", Message(each, b"body"))
        assert (await inbox.next()).acknowledge()
        await inbox.next()

    with raw(store_url) as client:
        assert client.keys("mousetrap:consumer:*") == []
        assert client.xinfo_consumers("mousetrap:queue:work", "workers") == []
        [(_, fields)] = client.xrange("mousetrap:queue:work") or []
        assert fields is not None
        assert (fields[b"id"], fields[b"redelivered"]) == (b"unsettled", b"1")


async def test_a_stream_of_its_own_for_each_queue_with_its_high_and_its_dead_queue(store_url: str) -> None:
    async with opened(store_url):
        pass

    with raw(store_url) as client:
        names = {name for queue in ("work", "other") for name in (*queues_of(queue), dead_queue(queue))}
        assert set(client.keys("*")) == {f"mousetrap:queue:{name}".encode() for name in names}


async def test_all_that_is_published_in_one_turn_of_the_loop_goes_in_one_step(store_url: str) -> None:
    async with opened(store_url) as queue:
        before = steps(store_url)
        await asyncio.gather(*(queue.publish("work", Message(str(n), b"body")) for n in range(300)))
        assert steps(store_url) - before == 1


async def test_all_that_is_acknowledged_in_one_turn_of_the_loop_is_one_command(store_url: str) -> None:
    inbox = Inbox()
    async with opened(store_url) as queue:
        await queue.consume("work", 300, inbox.receive)
        await asyncio.gather(*(queue.publish("work", Message(str(n), b"body")) for n in range(300)))
        deliveries = [await inbox.next() for _ in range(300)]
        before = steps(store_url, "xack"), steps(store_url, "xdel")

        for delivery in deliveries[1::2]:
            assert delivery.acknowledge()
        await queue.publish("work", Message("after", b"body"))  # sent with them, so they are done

        assert (steps(store_url, "xack"), steps(store_url, "xdel")) == (before[0] + 1, before[1] + 1)
        with raw(store_url) as client:
            assert client.xlen("mousetrap:queue:work") == 151


def steps(url: str, *commands: str) -> int:
    """How often the server has called a function, or these commands."""
    with raw(url) as client:
        statistics: dict[str, dict[str, int]] = client.info("commandstats")
        names = commands or ("eval", "evalsha")
        return sum(statistics.get(f"cmdstat_{name}", {}).get("calls", 0) for name in names)


async def test_equal_messages_that_are_delayed_stay_two(store_url: str) -> None:
    inbox = Inbox()
    async with opened(store_url) as queue:
        for _ in range(2):
            await queue.publish("work", Message("twin", b"body"), after=0.05)
        await queue.consume("work", 10, inbox.receive)

        assert [(await inbox.next()).message.id for _ in range(2)] == ["twin", "twin"]


async def test_a_message_whose_time_has_come_is_ready_even_without_a_consumer(store_url: str) -> None:
    async with opened(store_url) as queue:
        await queue.publish("work", Message("soon", b"body"), after=0.05)
        await queue.publish("work", Message("late", b"body"), after=3600)
        async with asyncio.timeout(60):
            while await queue.count_ready("work") != 1:
                pass


async def test_what_strangers_put_into_the_stream_is_delivered_for_others_to_judge(store_url: str) -> None:
    inbox = Inbox()
    async with opened(store_url) as queue:
        with raw(store_url) as client:
            client.xadd("mousetrap:queue:work", {"id": b"\xff", "headers": b"{"})
            client.xadd("mousetrap:queue:work", {"something": "else"})
        await queue.consume("work", 10, inbox.receive)

        first, second = await inbox.next(), await inbox.next()

        assert first.message == Message("\N{REPLACEMENT CHARACTER}", b"", {})
        assert second.message == Message("", b"", {})
        assert first.hand_back()
        assert (await inbox.next()).redelivered


async def test_an_undeclared_queue_refuses_messages(store_url: str) -> None:
    async with opened(store_url) as queue:
        with pytest.raises(Unroutable, match="no queue 'nowhere'"):
            await queue.publish("nowhere", Message("lost", b"body"))
        with pytest.raises(Unroutable, match="no queue 'nowhere'"):
            await queue.publish("nowhere", Message("lost", b"body"), after=1.0)
        with pytest.raises(Unroutable, match="no queue 'nowhere'"):
            await queue.count_ready("nowhere")


@pytest.mark.parametrize("after", [-1.0, float("nan"), float("inf")])
async def test_a_delay_that_is_no_delay_is_refused(store_url: str, after: float) -> None:
    async with opened(store_url) as queue:
        with pytest.raises(ValueError, match="a delay of"):
            await queue.publish("work", Message("id", b"body"), after=after)


async def test_queues_come_back_by_themselves_when_the_server_has_lost_its_data(store_url: str) -> None:
    inbox = Inbox()
    async with opened(store_url) as queue:
        await queue.consume("work", 10, inbox.receive)
        await queue.publish("work", Message("before", b"body"))
        assert (await inbox.next()).acknowledge()

        with raw(store_url) as client:
            client.flushdb()

        await queue.publish("other", Message("other", b"body"))
        assert await queue.count_ready("other") == 1
        await queue.publish("work", Message("after", b"body"))
        assert (await inbox.next()).message.id == "after"


async def test_a_delayed_message_and_a_held_one_survive_a_restart_of_the_server(
    own_valkey: EmbeddedValkey,
) -> None:
    inbox = Inbox()
    async with opened(own_valkey.url) as queue:
        await queue.consume("work", 10, inbox.receive)
        await queue.publish("work", Message("held", b"body"))
        await inbox.next()
        started = time.monotonic()
        await queue.publish("work", Message("delayed", b"body"), after=0.5)

        await asyncio.to_thread(own_valkey.restart)

        arrived = [await inbox.next() for _ in range(2)]
        assert {it.message.id for it in arrived} == {"held", "delayed"}
        assert time.monotonic() - started >= 0.5
        assert all(it.acknowledge() for it in arrived)


async def test_a_server_that_is_away_is_named_without_its_password_in_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = closed_port()

    with caplog.at_level(logging.INFO, "mousetrap.stream_queue"):
        async with opened(f"valkey://user:secret@127.0.0.1:{port}/0", confirm_deadline=0.3) as queue:
            await queue.consume("work", 1, Inbox().receive)
            for refused in (
                queue.publish("work", Message("id", b"body")),
                queue.check(),
                queue.count_ready("work"),
            ):
                with pytest.raises(QueueUnreachable, match=f"127.0.0.1:{port}") as caught:
                    await refused
                assert "secret" not in str(caught.value)

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "secret" not in caplog.text


async def test_a_server_that_goes_silent_leaves_a_sent_message_unconfirmed_and_fails_the_check(
    own_valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own_valkey.pid is not None
    async with opened(own_valkey.url, confirm_deadline=2.0) as queue:
        await eventually(lambda: publishes(queue), True)
        monkeypatch.setattr("mousetrap.stream_queue.stream_queue._REPLY_TIMEOUT_S", 1.5)
        os.kill(own_valkey.pid, signal.SIGSTOP)
        try:
            with pytest.raises(PublishUnconfirmed, match="same id"):
                await queue.publish("work", Message("unsure", b"body"))
            with pytest.raises(QueueUnreachable, match="does not answer in time"):
                await queue.check()
        finally:
            os.kill(own_valkey.pid, signal.SIGCONT)
            monkeypatch.undo()
        await eventually(lambda: publishes(queue), True)
        await queue.check()


async def publishes(queue: Queue) -> bool:
    """Whether a message is confirmed in time."""
    try:
        await queue.publish("work", Message("kept", b"body"))
    except (PublishUnconfirmed, QueueUnreachable):
        return False
    return True


async def test_publishes_wait_for_a_server_that_comes_back_and_the_log_reports_both_ends_once(
    own_valkey: EmbeddedValkey, caplog: pytest.LogCaptureFixture
) -> None:

    with caplog.at_level(logging.INFO, "mousetrap.stream_queue"):
        inbox = Inbox()
        async with opened(own_valkey.url) as queue:
            await queue.consume("work", 50, inbox.receive)
            own_valkey.kill()
            waiting = [
                asyncio.create_task(queue.publish("work", Message(str(n), b"body"))) for n in range(20)
            ]
            await asyncio.to_thread(own_valkey.start)

            await asyncio.gather(*waiting)

            received = {(await inbox.next()).message.id for _ in waiting}
            assert received == {str(n) for n in range(20)}

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_server_without_memory_refuses_messages_and_still_takes_acknowledgements(
    own_valkey: EmbeddedValkey,
) -> None:

    with raw(own_valkey.url) as client:
        inbox = Inbox()
        async with opened(own_valkey.url) as queue:
            await queue.consume("work", 10, inbox.receive)
            await queue.publish("work", Message("held", b"body"))
            delivery = await inbox.next()
            client.config_set("maxmemory", 1)
            try:
                with pytest.raises(QueueFull, match="maxmemory"):
                    await queue.publish("work", Message("refused", b"body"))
                assert delivery.acknowledge()
                await asyncio.to_thread(
                    until, lambda: client.xlen("mousetrap:queue:work") == 0, "the message is gone"
                )
            finally:
                client.config_set("maxmemory", 0)


async def test_a_full_queue_refuses_messages_and_its_dead_queue_never_does(store_url: str) -> None:
    async with opened(store_url, max_length=2) as queue:
        for each in ("first", "second"):
            await queue.publish("work", Message(each, b"body"))
        with pytest.raises(QueueFull, match="queue 'work'"):
            await queue.publish("work", Message("third", b"body"))
        for each in ("first", "second", "third"):
            await queue.publish(dead_queue("work"), Message(each, b"body"))


async def test_what_comes_due_into_a_full_queue_joins_it_nonetheless(store_url: str) -> None:
    async with opened(store_url, max_length=1) as queue:
        await queue.publish("work", Message("first", b"body"))
        await queue.publish("work", Message("later", b"body"), after=0.05)

        await eventually(lambda: queue.count_ready("work"), 2)
        inbox = Inbox()
        await queue.consume("work", 10, inbox.receive)
        assert [(await inbox.next()).message.id for _ in range(2)] == ["first", "later"]


async def test_a_publish_that_was_cancelled_before_it_was_sent_is_not_sent(
    own_valkey: EmbeddedValkey,
) -> None:
    async with opened(own_valkey.url) as queue:
        own_valkey.kill()
        called_off = asyncio.create_task(queue.publish("work", Message("unwanted", b"body")))
        waiting = asyncio.create_task(queue.publish("work", Message("wanted", b"body")))
        await asyncio.sleep(0)
        called_off.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await called_off
        await asyncio.to_thread(own_valkey.start)
        await waiting

        assert await queue.count_ready("work") == 1


@pytest.mark.parametrize(
    "url",
    [
        "amqp://user:secret@127.0.0.1/0",
        "user:secret@127.0.0.1:6379",
        "valkey://user:se#cret@127.0.0.1/0",
        "valkey://user:se/cret@127.0.0.1/0",
        "valkey://user:secret@127.0.0.1:port/0",
        "valkey://127.0.0.1/0?password=secret",
    ],
)
async def test_an_address_that_cannot_be_read_is_refused_without_repeating_it(url: str) -> None:

    with pytest.raises(ValueError, match="write valkey://") as caught:
        async with opened(url):
            pass
    assert "cret" not in str(caught.value)
