"""Publishes over a blocking channel, in a thread of its own."""

import asyncio

import pytest

from mousetrap.job_queue import connect, open_channel, open_outlet
from mousetrap.jobs import Message, PublishUnconfirmed, QueueFull, QueueUnreachable, Unroutable, high_queue
from mousetrap.settings import Settings
from support.inbox import Inbox, eventually
from support.relay import relay

#: The frame as a client sends it.
HEARTBEAT = b"\x08\0\0\0\0\0\0\xce"


def settings_for(url: str, **more: object) -> Settings:
    return Settings(broker_url=url, **{"confirm_seconds": 60.0, **more})  # type: ignore[arg-type]


async def test_publishes_that_wait_together_are_confirmed_each(broker_url: str, work: str) -> None:
    async with (
        connect(broker_url, [work], name="test") as queue,
        open_outlet(settings_for(broker_url), [work], name="test", blocking=True) as outlet,
    ):
        await asyncio.gather(*(outlet.publish(work, Message(f"m{n}", b"{}")) for n in range(3_000)))
        inbox = Inbox()
        await queue.consume(work, 3_000, inbox)

        assert await inbox.acknowledge(3_000) == [f"m{n}" for n in range(3_000)]


async def test_a_queue_is_declared_when_it_is_named_and_a_missing_one_is_an_error(
    broker_url: str, work: str
) -> None:
    async with open_outlet(settings_for(broker_url), [], name="test", blocking=True) as outlet:
        with pytest.raises(Unroutable, match=f"no queue '{work}'"):
            await outlet.publish(work, Message("m", b"{}"))
        with pytest.raises(Unroutable):
            await outlet.publish(work, Message("m", b"{}"), after=1.0)
        await outlet.declare_queue(work)
        await outlet.publish(work, Message("m", b"{}"))


async def test_a_delayed_high_one_is_refused_where_its_queue_is_not_made_yet(
    broker_url: str, work: str
) -> None:
    with open_channel(broker_url, [work]) as channel:
        channel.queue_delete(high_queue(work))
    high, not_ours = Message("m", b"{}", priority=9), settings_for(broker_url, declare=False)
    async with open_outlet(not_ours, [work], name="test", blocking=True) as outlet:
        with pytest.raises(Unroutable, match=high_queue(work)):
            await outlet.publish(work, high, after=0.1)
        with open_channel(broker_url, [work]):  # as `migrate` makes it
            await outlet.publish(work, high, after=0.1)
        await eventually(lambda: outlet.count_ready(high_queue(work)), 1)


async def test_a_full_queue_is_the_same_error(broker_url: str, work: str) -> None:
    bounded = settings_for(broker_url, queue_max_length=1)
    async with open_outlet(bounded, [work], name="test", blocking=True) as outlet:
        with pytest.raises(QueueFull, match="add workers, or try again later"):
            for number in range(20):
                await outlet.publish(work, Message(f"m{number}", b"{}"))


async def test_a_lost_connection_is_opened_again_and_nothing_is_lost(broker_url: str, work: str) -> None:
    async with (
        relay(broker_url) as between,
        open_outlet(settings_for(between.url), [work], name="test", blocking=True) as outlet,
        connect(broker_url, [work], name="test") as queue,
    ):
        await outlet.publish(work, Message("before", b"{}"))
        between.cut()
        publishing = [outlet.publish(work, Message(f"m{n}", b"{}")) for n in range(100)]
        await asyncio.gather(*publishing)
        inbox = Inbox()
        await queue.consume(work, 1_000, inbox)
        wanted = {"before", *(f"m{n}" for n in range(100))}
        while wanted:
            wanted -= set(await inbox.acknowledge(1))


async def test_a_broker_that_stays_away_is_an_error_in_time(broker_url: str, work: str) -> None:
    async with relay(broker_url) as between:
        short = settings_for(between.url, confirm_seconds=0.5)
        async with open_outlet(short, [work], name="test", blocking=True) as outlet:
            await between.shut()
            with pytest.raises((QueueUnreachable, PublishUnconfirmed)):
                await outlet.publish(work, Message("m", b"{}"))


async def test_an_idle_channel_sends_heartbeats(broker_url: str, work: str) -> None:
    beats: asyncio.Queue[None] = asyncio.Queue()

    def note(data: bytes) -> None:
        if data.startswith(HEARTBEAT):
            beats.put_nowait(None)

    async with relay(broker_url, sent=note) as between:
        quick = settings_for(between.url, heartbeat_seconds=2)
        async with open_outlet(quick, [work], name="test", blocking=True) as outlet:
            await outlet.publish(work, Message("m1", b"{}"))
            async with asyncio.timeout(60):
                for _ in range(3):  # the broker drops a client that is silent for two
                    await beats.get()
            await outlet.publish(work, Message("m2", b"{}"))
