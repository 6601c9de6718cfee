"""Topics that are closed, forked, cancelled, deleted, or may not be declared."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from mousetrap.job_queue import (
    QueueOptions,
    Topics,
    TopicsClosed,
    connect,
    open_async_topics,
    open_channel,
    open_topics,
)
from mousetrap.job_queue.topics import channel_queue
from mousetrap.job_queue.topics.channel_queue import ChannelQueue
from mousetrap.jobs import MousetrapError, QueueUnreachable, Unroutable
from support.any_topics import any_topics

pytestmark = pytest.mark.servers


def test_after_a_close_every_verb_is_a_clear_error(queue_url: str, work: str) -> None:
    with open_topics(queue_url) as topics:
        topics.publish(work, 1)
        message = topics.claim(work, wait=60)
        assert message is not None
    topics.close()

    for verb in (lambda: topics.publish(work, 1), lambda: topics.claim(work), lambda: topics.ack(message)):
        with pytest.raises(TopicsClosed, match="open them again"):
            verb()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_the_child_has_a_clear_error_and_the_parent_its_claims(
    queue_url: str, work: str, tmp_path: Path
) -> None:
    with open_topics(queue_url) as topics:
        message_id = topics.publish(work, 1)
        child = os.fork()
        if child == 0:
            try:
                topics.claim(work)
            except TopicsClosed as error:
                (tmp_path / "error").write_text(str(error))
            finally:
                topics.close()
                os._exit(0)
        os.waitpid(child, 0)
        message = topics.claim(work, wait=60)

        assert "forked" in (tmp_path / "error").read_text()
        assert message is not None and message.id == message_id
        topics.ack(message)


async def test_a_claim_that_is_cancelled_takes_no_message(queue_url: str, work: str) -> None:
    async with open_async_topics(queue_url) as topics:
        for _ in range(3):
            waiting = asyncio.create_task(topics.claim(work, wait=60))
            await topics.claim(f"{work}_other", wait=0.2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        message_id = await topics.publish(work, 1)
        message = await topics.claim(work, wait=60)
        assert message is not None and message.id == message_id


@pytest.mark.parametrize("step", ["", "_get", "_subscribe", "_stop"])
def test_a_blocking_claim_whose_caller_gave_up_holds_no_message(
    broker_url: str, work: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    go = threading.Event()
    queue = ChannelQueue(broker_url, QueueOptions())
    with Topics(queue, 10) as topics, open_topics(broker_url) as others:
        assert topics.claim(work) is None
        others.claim(work)
        monkeypatch.setattr(channel_queue, "_REPLY_TIMEOUT_S", 1.5)
        if step:  # the channel is busy with this step until its caller has left
            real = getattr(channel_queue, step)

            def late(*arguments: Any, **named: Any) -> Any:
                go.wait(60)
                return real(*arguments, **named)

            monkeypatch.setattr(channel_queue, step, late)
        else:  # the channel is busy with another call
            queue._thread.start(lambda _: go.wait(60))

        with pytest.raises(QueueUnreachable):
            topics.claim(work, wait=0.2)
        monkeypatch.undo()
        message_id = others.publish(work, 1)
        go.set()
        queue._thread.call(lambda _: None)

        message = others.claim(work, wait=60)
        assert message is not None and message.id == message_id
        assert topics.claim(work, wait=0.2) is None


@pytest.mark.parametrize("face", ["blocking", "awaited"])
async def test_a_topic_that_was_deleted_is_made_again(broker_url: str, work: str, face: str) -> None:
    async with any_topics(face, broker_url) as topics:
        await topics.publish(work, 1)
        await asyncio.to_thread(_delete, broker_url, work)

        assert await topics.claim(work) is None
        message_id = await topics.publish(work, 2)
        message = await topics.claim(work, wait=60)
        assert message is not None and message.id == message_id


@pytest.mark.parametrize("face", ["blocking", "awaited"])
async def test_a_topic_that_exists_otherwise_is_explained_and_costs_no_claim(
    broker_url: str, work: str, face: str
) -> None:
    other = QueueOptions(max_length=7)
    async with (
        connect(broker_url, ["other"], name="test", options=other),
        any_topics(face, broker_url) as topics,
    ):
        await _until_declared(broker_url, "other")
        await topics.publish(work, 1)
        message = await topics.claim(work, wait=60)
        assert message is not None

        with pytest.raises(MousetrapError, match="has x-max-length 7"):
            await topics.publish("other", 1)

        await topics.ack(message)


@pytest.mark.parametrize("face", ["blocking", "awaited"])
async def test_what_may_not_be_declared_is_an_error_with_the_fix(
    broker_url: str, work: str, face: str
) -> None:
    async with any_topics(face, broker_url) as topics:
        await topics.publish(work, 1)
    async with any_topics(face, broker_url, options=QueueOptions(declare=False)) as topics:
        assert await topics.claim(work, wait=60)
        with pytest.raises(Unroutable, match="there is no topic 'nowhere'"):
            await topics.publish("nowhere", 1)


def _delete(url: str, queue: str) -> None:
    with open_channel(url, []) as channel:
        channel.queue_delete(queue)


async def _until_declared(url: str, queue: str) -> None:
    async with connect(url, [], name="test") as looking:
        async with asyncio.timeout(60):
            while True:
                try:
                    await looking.count_ready(queue)
                    return
                except MousetrapError:
                    await asyncio.sleep(0.05)
