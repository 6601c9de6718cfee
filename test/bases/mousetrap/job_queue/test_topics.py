"""The contract of topics: blocking and awaited, on RabbitMQ and embedded."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import pytest

from mousetrap.job_queue import ClaimVoid, QueueOptions, TooManyClaims, connect
from mousetrap.jobs import QueueUnreachable, dead_queue
from support.any_topics import AnyTopics, any_topics
from support.inbox import Inbox
from support.relay import relay

pytestmark = [pytest.mark.servers, pytest.mark.own_queues]

Open = Callable[..., AbstractAsyncContextManager[AnyTopics]]


@pytest.fixture(params=["blocking", "awaited"])
def face(request: pytest.FixtureRequest) -> str:
    """Both faces in turn."""
    found: str = request.param
    return found


@pytest.fixture
def open_them(face: str, queue_url: str) -> Open:
    """Opens topics of this face on this queue, which is empty."""

    def opened(url: str = queue_url, **options: Any) -> AbstractAsyncContextManager[AnyTopics]:
        return any_topics(face, url, **options)

    return opened


async def test_a_published_message_is_claimed_once_and_gone_after_its_ack(open_them: Open, work: str) -> None:
    async with open_them() as topics:
        message_id = await topics.publish(work, {"id": 1}, headers={"tenant": "a"})
        message = await topics.claim(work, wait=60)

        assert message is not None
        assert (message.id, message.topic, message.json()) == (message_id, work, {"id": 1})
        assert (message.headers, message.redelivered, message.reason) == ({"tenant": "a"}, False, "")
        assert await topics.claim(work) is None
        await topics.ack(message)

    async with open_them() as topics:
        assert await topics.claim(work, wait=0.2) is None


async def test_bytes_stay_bytes_and_values_become_json(open_them: Open, work: str) -> None:
    async with open_them() as topics:
        for value in (b"\x00\xff", b"", "text", 1.5, None, [1, {"a": "ü"}]):
            await topics.publish(work, value)
            message = await topics.claim(work, wait=60)
            assert message is not None
            assert (message.body if isinstance(value, bytes) else message.json()) == value
            await topics.ack(message)


async def test_messages_come_in_order(open_them: Open, work: str) -> None:
    async with open_them() as topics:
        ids = [await topics.publish(work, n) for n in range(10)]
        claimed = [await topics.claim(work, wait=60) for _ in ids]
        assert [each.id for each in claimed if each] == ids
        for each in claimed:
            assert each is not None
            await topics.ack(each)


async def test_a_claim_returns_none_after_its_wait(open_them: Open, work: str) -> None:
    async with open_them() as topics:
        assert await topics.claim(work) is None
        before = time.monotonic()
        assert await topics.claim(work, wait=timedelta(seconds=0.4)) is None
        assert time.monotonic() - before >= 0.4


async def test_a_waiting_claim_gets_what_is_published_meanwhile(open_them: Open, work: str) -> None:
    async with open_them() as topics:
        waiting = asyncio.create_task(topics.claim(work, wait=60))
        assert await topics.claim(f"{work}_other", wait=0.3) is None
        message_id = await topics.publish(work, 1)
        message = await waiting
        assert message is not None and message.id == message_id
        await topics.ack(message)
        await topics.publish(work, 2)
        message = await topics.claim(work, wait=60)
        assert message is not None and message.json() == 2


async def test_a_delayed_message_is_claimed_no_earlier(open_them: Open, work: str) -> None:
    async with open_them() as topics:
        before = time.monotonic()
        await topics.publish(work, 1, delay=0.5)
        message = await topics.claim(work) or await topics.claim(work, wait=60)
        assert message is not None and time.monotonic() - before >= 0.5


async def test_the_id_is_the_callers_if_given(open_them: Open, work: str) -> None:
    async with open_them() as topics:
        assert await topics.publish(work, 1, id="mine") == "mine"
        message = await topics.claim(work, wait=60)
        assert message is not None and message.id == "mine"


async def test_a_nack_puts_the_message_back_for_any_claim(open_them: Open, work: str) -> None:
    async with open_them() as topics, open_them() as others:
        message_id = await topics.publish(work, 1)
        message = await topics.claim(work, wait=60)
        assert message is not None
        await topics.nack(message)

        again = await others.claim(work, wait=60)
        assert again is not None and (again.id, again.redelivered) == (message_id, True)
        await others.ack(again)


async def test_a_nack_without_requeue_puts_it_into_the_dead_queue(open_them: Open, work: str) -> None:
    dead = dead_queue(work)
    async with open_them() as topics:
        message_id = await topics.publish(work, {"id": 1}, headers={"tenant": "ü"})
        message = await topics.claim(work, wait=60)
        assert message is not None
        await topics.nack(message, requeue=False)
        letter = await topics.claim(dead, wait=60)

        assert letter is not None and await topics.claim(work) is None
        assert (letter.id, letter.topic, letter.json()) == (message_id, dead, {"id": 1})
        assert (letter.headers, letter.reason) == ({"tenant": "ü"}, "rejected")
        with pytest.raises(ValueError, match="is a dead queue"):
            await topics.nack(letter, requeue=False)
        await topics.ack(letter)
        assert await topics.claim(dead) is None


async def test_what_is_not_settled_returns_when_topics_close(open_them: Open, work: str) -> None:
    async with open_them() as topics:
        ids = {await topics.publish(work, n) for n in range(3)}
        first = await topics.claim(work, wait=60)
        assert first is not None and await topics.claim(work, wait=60)
        await topics.ack(first)

    async with open_them() as topics:
        rest = [await topics.claim(work, wait=60) for _ in range(2)]
        assert {each.id for each in rest if each} == ids - {first.id}


async def test_no_more_than_max_unacked_are_held(open_them: Open, work: str) -> None:
    async with open_them(max_unacked=2) as topics:
        for n in range(3):
            await topics.publish(work, n)
        first, second = await topics.claim(work, wait=60), await topics.claim(work, wait=60)
        assert first and second
        with pytest.raises(TooManyClaims, match="2 claimed messages are not acked"):
            await topics.claim(work)
        await topics.ack(first)
        third = await topics.claim(work, wait=60)
        assert third is not None and third.json() == 2


async def test_a_claim_is_settled_once_and_where_it_was_made(open_them: Open, work: str) -> None:
    async with open_them() as topics, open_them() as others:
        await topics.publish(work, 1)
        message = await topics.claim(work, wait=60)
        assert message is not None
        with pytest.raises(ClaimVoid, match="not an open claim"):
            await others.ack(message)
        await topics.ack(message)
        for settle in (topics.ack, topics.nack):
            with pytest.raises(ClaimVoid, match="acked or nacked before"):
                await settle(message)


async def test_two_processes_claims_share_a_topic(open_them: Open, work: str) -> None:
    async with open_them() as topics, open_them() as others:
        ids = sorted([await topics.publish(work, n) for n in range(40)])
        both_claimed, claimed = asyncio.Barrier(2), list[str]()

        async def take(some: AnyTopics) -> list[str]:
            taken = list[str]()
            while len(claimed) < len(ids):
                if message := await some.claim(work, wait=0.2 if taken else 60):
                    claimed.append(message.id)
                    if not taken:
                        await both_claimed.wait()
                    taken.append(message.id)
                    await some.ack(message)
            return taken

        async with asyncio.timeout(60):
            one, two = await asyncio.gather(take(topics), take(others))
        assert sorted(one + two) == ids and one and two


async def test_a_claim_of_a_lost_connection_is_void_and_its_message_comes_again(
    face: str, queue_url: str, work: str
) -> None:
    options = QueueOptions(confirm_deadline=4.0)  # which the publish below waits for in vain
    async with relay(queue_url) as proxy, any_topics(face, proxy.url, options=options) as topics:
        message_id = await topics.publish(work, 1)
        message = await topics.claim(work, wait=60)
        assert message is not None

        await proxy.shut()
        proxy.cut()
        async with asyncio.timeout(60):
            while not message.claim.is_void():  # noqa: ASYNC110  a loss is not announced to users
                await asyncio.sleep(0.02)
        with pytest.raises(ClaimVoid, match=rf"{message_id}.* is void, since its connection was lost"):
            await topics.ack(message)
        with pytest.raises(QueueUnreachable):
            await topics.publish(work, 2)

        await proxy.open()
        again = await _claim_when_reachable(topics, work)
        assert (again.id, again.redelivered) == (message_id, True)
        await topics.ack(again)


async def test_a_topic_of_workers_is_the_same_queue(open_them: Open, queue_url: str, work: str) -> None:
    async with connect(queue_url, [work], name="worker") as queue, open_them() as topics:
        inbox = Inbox()
        await queue.consume(work, 1, inbox)
        message_id = await topics.publish(work, {"id": 1})
        assert await inbox.acknowledge(1) == [message_id]


async def test_what_cannot_be_a_name_or_a_message_is_refused_with_the_fix(open_them: Open, work: str) -> None:
    async with open_them() as topics:
        with pytest.raises(ValueError, match=r"topic name 'a b': use letters"):
            await topics.claim("a b")
        with pytest.raises(ValueError, match="at most 16777216"):
            await topics.publish(work, bytes(16_777_217))
        with pytest.raises(ValueError, match="longest possible"):
            await topics.publish(work, 1, delay=timedelta(days=365))
        assert await topics.claim(work) is None


async def _claim_when_reachable(topics: AnyTopics, topic: str) -> Any:
    async with asyncio.timeout(60):
        while True:
            try:
                if message := await topics.claim(topic, wait=2):
                    return message
            except QueueUnreachable:
                await asyncio.sleep(0.05)
